//! A private key, or a secret, that the gateway signs its own assertions with (RFC 7523).

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::algorithm::Algorithm;
use super::token::encode;

/// A key that signs, with its one algorithm.
pub struct SigningKey {
    algorithm: Algorithm,
    key: Key,
}

enum Key {
    Shared(Box<hmac::Key>),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Curve(Box<EcdsaKeyPair>),
    Edwards(Box<Ed25519KeyPair>),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.algorithm.name())
    }
}

impl SigningKey {
    /// A shared secret.
    ///
    /// # Errors
    /// The algorithm takes a private key.
    pub fn shared(algorithm: Algorithm, secret: &[u8]) -> Result<Self, String> {
        let shared = algorithm.shared().ok_or_else(|| format!("{} takes no secret", algorithm.name()))?;
        Ok(Self { algorithm, key: Key::Shared(Box::new(hmac::Key::new(shared, secret))) })
    }

    /// A private key in PEM.
    ///
    /// # Errors
    /// What is wrong with it; nothing of the key is in the sentence.
    pub fn pem(algorithm: Algorithm, pem: &str) -> Result<Self, String> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            "it is no private key in PEM, which begins with -----BEGIN PRIVATE KEY----- or the like"
                .to_owned()
        })?;
        let name = algorithm.name();
        let unfit = || format!("it is no key for {name}");
        let rsa = |encoding: &'static dyn RsaEncoding| {
            let pair = match &der {
                PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
                PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
                _ => return Err(unfit()),
            };
            pair.map(|pair| Key::Rsa(Box::new(pair), encoding)).map_err(|_| unfit())
        };
        let curve = |curve| {
            let pair = EcdsaKeyPair::from_private_key_der(curve, der.secret_der());
            pair.map(|pair| Key::Curve(Box::new(pair))).map_err(|_| unfit())
        };
        let key = match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
                return Err(format!("{name} takes a secret and no private key"));
            }
            Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256)?,
            Algorithm::Rs384 => rsa(&RSA_PKCS1_SHA384)?,
            Algorithm::Rs512 => rsa(&RSA_PKCS1_SHA512)?,
            Algorithm::Ps256 => rsa(&RSA_PSS_SHA256)?,
            Algorithm::Ps384 => rsa(&RSA_PSS_SHA384)?,
            Algorithm::Ps512 => rsa(&RSA_PSS_SHA512)?,
            Algorithm::Es256 => curve(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            Algorithm::Es384 => curve(&ECDSA_P384_SHA384_FIXED_SIGNING)?,
            Algorithm::Es512 => curve(&ECDSA_P521_SHA512_FIXED_SIGNING)?,
            Algorithm::EdDsa => match Ed25519KeyPair::from_pkcs8(der.secret_der()) {
                Ok(pair) => Key::Edwards(Box::new(pair)),
                Err(_) => return Err(unfit()),
            },
        };
        Ok(Self { algorithm, key })
    }

    /// A token with these claims, and with the key's id where it has one.
    ///
    /// # Errors
    /// The library can't sign.
    pub fn token(&self, kid: Option<&str>, claims: &Value) -> Result<String, String> {
        let mut header = json!({ "typ": "JWT", "alg": self.algorithm.name() });
        if let (Some(kid), Some(members)) = (kid, header.as_object_mut()) {
            members.insert("kid".to_owned(), kid.into());
        }
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", encode(signature)))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        let failed = |_| "the token could not be signed".to_owned();
        Ok(match &self.key {
            Key::Shared(key) => hmac::sign(key, message).as_ref().to_vec(),
            Key::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).map_err(failed)?;
                signature
            }
            Key::Curve(pair) => pair.sign(&random, message).map_err(failed)?.as_ref().to_vec(),
            Key::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::SigningKey;
    use crate::jose::algorithm::Algorithm;
    use crate::jose::signing::Signer;
    use crate::jose::token::Token;

    #[test]
    fn what_a_key_signs_its_verifier_takes() {
        for algorithm in Algorithm::ALL {
            let signer = Signer::generate(algorithm);
            let key = match signer.private_pem() {
                Some(pem) => SigningKey::pem(algorithm, &pem).unwrap(),
                None => SigningKey::shared(algorithm, b"a secret").unwrap(),
            };
            let verifier = match signer.private_pem() {
                Some(_) => signer.verifier(),
                None => Signer::shared(algorithm, b"a secret").verifier(),
            };
            let text = key.token(Some("one"), &json!({ "sub": "a" })).unwrap();
            let token = Token::parse(&text).unwrap();
            assert!(verifier.verifies(&token), "{}", algorithm.name());
            assert_eq!(token.claims()["sub"], "a");
        }
    }

    #[test]
    fn keys_that_do_not_fit_are_refused_and_not_quoted() {
        let curve = Signer::generate(Algorithm::Es256).private_pem().unwrap();
        for (algorithm, pem, wanted) in [
            (Algorithm::Rs256, curve.as_str(), "it is no key for RS256"),
            (Algorithm::Es512, curve.as_str(), "it is no key for ES512"),
            (Algorithm::Hs256, curve.as_str(), "HS256 takes a secret"),
            (Algorithm::Rs256, "sesame", "it is no private key in PEM"),
        ] {
            let error = SigningKey::pem(algorithm, pem).unwrap_err();
            assert!(error.starts_with(wanted) && !error.contains("sesame"), "{error}");
        }
    }
}
