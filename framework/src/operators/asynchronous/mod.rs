//! Futures: what waits for something outside, such as a look-up over HTTP, while other records go on.

mod options;
mod attempts;
mod in_flight;
mod awaiting;
mod map_async;
mod flat_map_async;
mod for_each_async;

pub use options::Async;

#[cfg(test)]
mod tests;
