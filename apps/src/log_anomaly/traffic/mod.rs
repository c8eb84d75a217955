//! Requests in numbers: by service and by route, in windows of ten seconds and of five minutes.

mod users;
mod cell;
mod routes;
mod slide;
mod shop;

pub use cell::Metric;
#[cfg(test)]
pub(super) use cell::Sample;
pub(super) use cell::{Cell, Measured};
pub(super) use routes::{Routes, RoutesKept};
pub use shop::ShopMetric;
pub(super) use shop::{ShopHour, purchase_of};
pub(super) use slide::{SLIDING, Slide};
