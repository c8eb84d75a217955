//! Log anomaly: what an application's logs say, as it happens.
//!
//! ```text
//! app-logs ─► parse ─┬─ bad ───────────────────────────────────────────────────────► log-anomaly-dlq
//!                    ├─ by service ─► mine [templates] ─┬───────────────────────────► log-templates
//!                    │                                  ├─ new, back, burst ─────┐
//!                    │     ┌────────────────────────────┤                        │
//!                    │     │                            └─ values [values] ──────┤
//!                    │     └─ routes [routes] ─► 10 s [metrics-10s] ─┬───────────┼──► log-metrics
//!                    │                                               ├─ slide ───┼──► log-metrics
//!                    │                                               └─ detect ──┤
//!                    ├─ shop, 1 h [shop-1h] ─────────────────────────────────────┼──► log-metrics
//!                    ├─ by address ─► watch [attempts] ──────────────────────────┤
//!                    └─ by user ─► sessions [sessions] ─┬────────────────────────┼──► user-sessions
//!                                                       └─ 1 h [behaviour-1h] ───┼──► log-metrics
//!                                                merge [open-anomalies] ◄────────┴──► log-anomalies
//! ```
//!
//! The modules stand in the order in which a line meets them.

pub mod line;
pub mod templates;
pub mod detector;
mod clock_text;
mod parse;
mod by_service;
mod mine;
mod traffic;
mod visits;
mod anomalies;
mod topics;
mod topology;
mod samples;
mod producing;
mod driving;
mod series;
mod commands;

pub use anomalies::{Anomaly, Kind, Severity, State};
pub use commands::run;
pub use mine::TemplateRow;
pub use topology::{Settings, topology};
pub use traffic::{Metric, ShopMetric};
pub use visits::{BehaviourMetric, Session};
