//! What a program of an application is made of, whichever it is: where it works, what it creates, how it runs and ends.

mod application;
mod topics;
mod place;
mod stopping;
mod beside;
mod pace;
mod running;
mod say;
mod outcome;

pub(crate) use application::Application;
pub(crate) use beside::Beside;
pub use outcome::exit_code;
pub(crate) use pace::{Pace, rate};
pub(crate) use place::Place;
pub(crate) use running::run;
pub(crate) use say::say;
pub(crate) use stopping::{pause, repeat, stopping};
pub(crate) use topics::Topics;
