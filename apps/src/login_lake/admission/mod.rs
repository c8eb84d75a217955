//! `POST /logins`, without HTTP: from the parts of a request and the time to a sign-in, or a refusal.

mod refusal;
mod credential;
mod forgery;
mod admission;

pub use admission::{Admission, Login};
pub use refusal::Refusal;
