//! Who is it: tokens of an OpenID Connect issuer, verified. Applications share this; none of it speaks HTTP or reads a
//! clock.
//!
//! ```text
//! token ─► parts ─► key of its kid [keys, rotated] ─► signature ─► claims ─► nonce (ID tokens) ─► roles (access tokens)
//! ```
//!
//! The modules stand in the order in which a token meets them.

mod refused;
mod parts;
mod key_set;
mod rotation;
mod keys;
mod claims;
mod verifier;
mod nonces;
mod roles;
mod throw_away;
#[cfg(test)]
pub(crate) mod forge;

pub use claims::Claims;
#[cfg(test)]
pub(crate) use claims::claims_of;
pub use key_set::{BadKeySet, KeySet};
pub use keys::{Fetched, KeySource, Keys};
pub use nonces::Nonces;
pub use parts::TOKEN_BYTES_MAX;
pub use refused::Refused;
pub use roles::roles;
pub use rotation::Rotation;
pub use throw_away::throw_away_key;
pub use verifier::{Kind, Verifier, kid_of};
