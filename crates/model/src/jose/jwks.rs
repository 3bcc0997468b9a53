//! A set of public keys (JWKS, RFC 7517), as an identity provider publishes it.
//!
//! Only public keys for signatures are taken: a shared secret in a published set is nobody's secret.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::RsaPublicKeyComponents;
use serde::Deserialize;

use super::algorithm::{Algorithm, Family};
use super::token::{Token, decode};
use super::verifier::Verifier;

/// How many keys of a set are looked at.
const MAX_KEYS: usize = 64;

/// The keys of a set.
#[derive(Debug, Default)]
pub struct Jwks {
    keys: Vec<(Option<String>, Verifier)>,
}

#[derive(Deserialize)]
struct Written {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwks {
    /// Reads a set. Keys that can't be used are passed over.
    ///
    /// # Errors
    /// It is no set.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let usable = written.keys.iter().take(MAX_KEYS);
        let usable = usable.filter(|key| key.purpose.as_deref().is_none_or(|purpose| purpose == "sig"));
        let keys = usable.flat_map(|key| {
            key.algorithms().filter_map(|algorithm| Some((key.kid.clone(), key.verifier(algorithm)?)))
        });
        Ok(Self { keys: keys.collect() })
    }

    /// Whether one of the keys could be this token's: the id fits and the algorithm, too.
    pub fn knows(&self, token: &Token<'_>) -> bool {
        self.candidates(token).next().is_some()
    }

    /// Whether the token was signed with one of these keys.
    pub fn verifies(&self, token: &Token<'_>) -> bool {
        self.candidates(token).any(|key| key.verifies(token))
    }

    fn candidates<'k>(&'k self, token: &'k Token<'_>) -> impl Iterator<Item = &'k Verifier> {
        let fits = move |kid: &Option<String>| match (kid.as_deref(), token.key_id()) {
            (Some(kid), Some(wanted)) => kid == wanted,
            _ => true,
        };
        let keys = self
            .keys
            .iter()
            .filter(move |(kid, key)| fits(kid) && key.algorithm().name() == token.algorithm());
        keys.map(|(_, key)| key)
    }
}

impl Jwk {
    /// The algorithms that this key may be used with: the one it names, or all of its kind.
    fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(|algorithm| {
            let named = self.alg.as_deref().is_none_or(|name| name == algorithm.name());
            named
                && match (algorithm.family(), self.kty.as_str()) {
                    (Family::Rsa, "RSA") => true,
                    (Family::Curve, "EC") | (Family::Edwards, "OKP") => {
                        self.crv.as_deref() == algorithm.curve()
                    }
                    _ => false,
                }
        })
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<Verifier> {
        let part = |text: &Option<String>| text.as_deref().and_then(decode);
        match algorithm.family() {
            Family::Shared => None,
            Family::Rsa => {
                let bare = |number: Vec<u8>| -> Vec<u8> {
                    number.into_iter().skip_while(|byte| *byte == 0).collect()
                };
                let (n, e) = (bare(part(&self.n)?), bare(part(&self.e)?));
                let der = RsaPublicKeyComponents { n, e }.as_der().ok()?;
                Verifier::spki(algorithm, der.as_ref()).ok()
            }
            Family::Curve => {
                let mut point = vec![4];
                point.extend(part(&self.x)?);
                point.extend(part(&self.y)?);
                Verifier::public(algorithm, &point).ok()
            }
            Family::Edwards => Verifier::public(algorithm, &part(&self.x)?).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Jwks;
    use crate::jose::algorithm::{Algorithm, Family};
    use crate::jose::signing::Signer;
    use crate::jose::token::Token;

    #[test]
    fn every_public_algorithm_is_verified_by_its_published_key() {
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.family() != Family::Shared) {
            let signer = Signer::generate(algorithm).with_kid("one");
            let other = Signer::generate(algorithm).with_kid("two");
            let set =
                Jwks::parse(json!({ "keys": [other.jwk(), signer.jwk()] }).to_string().as_bytes()).unwrap();
            let text = signer.token(&json!({}));
            assert!(set.verifies(&Token::parse(&text).unwrap()), "{}", algorithm.name());
            let alone = Jwks::parse(json!({ "keys": [other.jwk()] }).to_string().as_bytes()).unwrap();
            let token = Token::parse(&text).unwrap();
            assert!(!alone.verifies(&token) && !alone.knows(&token));
        }
    }

    #[test]
    fn secrets_encryption_keys_and_nonsense_are_passed_over() {
        let text = json!({ "keys": [
            { "kty": "oct", "k": "AAAA", "alg": "HS256" },
            { "kty": "RSA", "n": "AQAB", "e": "AQ" },
            { "kty": "RSA", "n": "!", "e": "AQAB" },
            { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" },
            { "kty": "OKP", "crv": "X25519", "x": "AA" },
        ] });
        let set = Jwks::parse(text.to_string().as_bytes()).unwrap();
        assert!(set.keys.is_empty());
        assert!(Jwks::parse(b"[]").is_err());
        assert!(Jwks::parse(b"<html>").is_err());
    }
}
