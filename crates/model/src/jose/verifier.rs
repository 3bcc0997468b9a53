//! A key with its one algorithm, parsed once and used for every token.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::{Algorithm, Family};
use super::token::Token;

/// RSA keys are taken from this size on, in bits.
const LEAST_RSA_BITS: usize = 2048;
/// RSA keys are taken up to this size, in bits: larger ones cost a client nothing and the gateway much.
const MOST_RSA_BITS: usize = 8192;

/// A key with its algorithm.
pub struct Verifier {
    algorithm: Algorithm,
    key: Key,
}

enum Key {
    Shared(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({})", self.algorithm.name())
    }
}

impl Verifier {
    /// A shared secret.
    ///
    /// # Errors
    /// The algorithm takes a public key.
    pub fn shared(algorithm: Algorithm, secret: &[u8]) -> Result<Self, String> {
        let shared = algorithm.shared().ok_or_else(|| format!("{} takes no secret", algorithm.name()))?;
        Ok(Self { algorithm, key: Key::Shared(Box::new(hmac::Key::new(shared, secret))) })
    }

    /// A public key in PEM: `PUBLIC KEY`, `RSA PUBLIC KEY`, or the certificate that holds it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn pem(algorithm: Algorithm, pem: &str) -> Result<Self, String> {
        let (label, der) = decode_pem(pem)?;
        match label {
            "PUBLIC KEY" => Self::spki(algorithm, &der),
            "CERTIFICATE" => {
                let (_, certificate) =
                    x509_parser::parse_x509_certificate(&der).map_err(|_| "the certificate can't be read")?;
                Self::spki(algorithm, certificate.tbs_certificate.subject_pki.raw)
            }
            "RSA PUBLIC KEY" if algorithm.family() == Family::Rsa => {
                let public = algorithm.public().ok_or("it takes no public key")?;
                let parsed = ParsedPublicKey::new(public, der).map_err(|_| "the public key can't be read")?;
                // Once more in the other form, in which its size shows.
                let info = parsed.as_der().map_err(|_| "the public key can't be read")?;
                Self::spki(algorithm, info.as_ref())
            }
            "RSA PUBLIC KEY" => Err(format!("{} takes no RSA key", algorithm.name())),
            other => Err(format!("it is a {other}; give the PUBLIC KEY")),
        }
    }

    /// A public key as a `SubjectPublicKeyInfo`.
    pub(super) fn spki(algorithm: Algorithm, der: &[u8]) -> Result<Self, String> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| "the public key can't be read")?;
        let parsed = info.parsed().map_err(|_| "the public key can't be read")?;
        let fits = match (algorithm.family(), &parsed) {
            (Family::Rsa, PublicKey::RSA(key)) => {
                let bits = key.key_size();
                if !(LEAST_RSA_BITS..=MOST_RSA_BITS).contains(&bits) {
                    return Err(format!(
                        "an RSA key of {bits} bits; it may have {LEAST_RSA_BITS} to {MOST_RSA_BITS}"
                    ));
                }
                true
            }
            (Family::Curve, PublicKey::EC(_)) => true,
            (Family::Edwards, PublicKey::Unknown(_)) => true,
            _ => false,
        };
        if !fits {
            return Err(format!("the public key is of another kind than {} takes", algorithm.name()));
        }
        Self::public(algorithm, der)
    }

    /// A public key in a form that the library reads.
    pub(super) fn public(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, String> {
        let public = algorithm.public().ok_or_else(|| format!("{} takes no public key", algorithm.name()))?;
        let key = ParsedPublicKey::new(public, bytes)
            .map_err(|_| format!("the public key is none that {} takes", algorithm.name()))?;
        Ok(Self { algorithm, key: Key::Public(key) })
    }

    /// Its algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the token was signed with this key, by this algorithm.
    pub fn verifies(&self, token: &Token<'_>) -> bool {
        token.algorithm() == self.algorithm.name() && self.signed(token.signed(), token.signature())
    }

    /// Whether this is the key's signature of these bytes.
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Key::Shared(key) => hmac::verify(key, message, signature).is_ok(),
            Key::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

/// The first block of a PEM text: its label and its bytes.
fn decode_pem(pem: &str) -> Result<(&str, Vec<u8>), String> {
    const SHAPE: &str = "it is no PEM: it begins with -----BEGIN PUBLIC KEY-----";
    let (_, rest) = pem.split_once("-----BEGIN ").ok_or(SHAPE)?;
    let (label, rest) = rest.split_once("-----").ok_or(SHAPE)?;
    let (body, _) = rest.split_once("-----END ").ok_or("the line -----END is missing")?;
    let body: String = body.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(body).map_err(|_| "what stands between BEGIN and END is no base64")?;
    Ok((label, der))
}

#[cfg(test)]
mod tests {
    use super::Verifier;
    use crate::jose::algorithm::{Algorithm, Family};
    use crate::jose::signing::Signer;
    use crate::jose::token::Token;

    #[test]
    fn each_algorithm_verifies_its_own_signature_and_no_other() {
        let signers: Vec<Signer> = Algorithm::ALL.into_iter().map(Signer::generate).collect();
        for signer in &signers {
            let text = signer.token(&serde_json::json!({ "a": 1 }));
            let token = Token::parse(&text).unwrap();
            for other in &signers {
                let wanted = other.algorithm() == signer.algorithm();
                let name = (signer.algorithm().name(), other.algorithm().name());
                assert_eq!(other.verifier().verifies(&token), wanted, "{name:?}");
            }
            let mut changed = text.clone().into_bytes();
            let last = changed.len() - 12;
            changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(!signer.verifier().verifies(&Token::parse(&changed).unwrap()));
        }
    }

    #[test]
    fn a_key_of_another_kind_or_size_is_refused_when_it_is_written() {
        let pem = |algorithm| Signer::generate(algorithm).public_pem();
        let rsa = pem(Algorithm::Rs256);
        for algorithm in Algorithm::ALL {
            let taken = Verifier::pem(algorithm, &rsa).is_ok();
            assert_eq!(taken, algorithm.family() == Family::Rsa, "{}", algorithm.name());
        }
        assert!(Verifier::pem(Algorithm::Es384, &pem(Algorithm::Es256)).is_err());
        assert!(Verifier::pem(Algorithm::EdDsa, &pem(Algorithm::Es256)).is_err());
        assert!(Verifier::pem(Algorithm::Rs256, &Signer::small_rsa_pem()).unwrap_err().contains("bits"));
        for text in
            ["", "x", "-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----\n*\n-----END PUBLIC KEY-----"]
        {
            assert!(Verifier::pem(Algorithm::Rs256, text).is_err(), "{text}");
        }
        let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
        assert!(Verifier::pem(Algorithm::Rs256, private).unwrap_err().contains("PRIVATE KEY"));
    }
}
