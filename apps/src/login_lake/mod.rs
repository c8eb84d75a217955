//! Login lake: who signed in when, on a site with "sign in with Google" or another OpenID Connect issuer.
//!
//! ```text
//! POST /logins ─► admission: forgery, token, nonce ─► logins
//!
//! logins ─► silver [seen-logins, erased] ─┬─ nulls, bad ones ─► login-lake-dlq
//!                                         └─┬──────────────────► logins-silver
//!                                           └─► users [users] ─┬─ users ─► logins-gold
//!                                                              └─ by day ─┬─► [sign-ins-per-day] ───┬─ days ─► logins-gold
//!                                                                         └─► [active-users-per-day]┘
//! erasures ─► forget [users, seen-logins, erased] ─► logins-gold (null)
//! ```
//!
//! The modules stand in the order in which a sign-in meets them.

mod moment;
mod sign_in;
mod admission;
mod issuer;
mod reading;
mod pseudonym;
mod seen;
mod silver;
mod users;
mod forget;
mod days;
mod topics;
mod topology;
mod samples;
mod producing;
mod commands;

pub use admission::{Admission, Login, Refusal};
pub use commands::run;
pub use issuer::{LocalIssuer, NotLoopback, Person};
pub use moment::{Day, Moment};
pub use sign_in::SignIn;
pub use topology::topology;
pub use users::{User, UserDocument};
