//! Signed tokens (JWS, RFC 7515, and JWT, RFC 7519): read strictly, and verified by a key that knows its one algorithm.
//!
//! A token never says how it is verified. Each `Verifier` belongs to one algorithm, so that a public key can't be taken for a shared secret,
//! and `none` doesn't exist. Signatures are checked by the same library as TLS, which also knows ES512.

pub mod algorithm;
pub mod claims;
pub mod jwks;
pub mod key;
pub mod provider;
pub mod token;
pub mod verifier;

pub mod signing;
