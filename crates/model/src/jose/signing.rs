//! Signs tokens for tests, with real keys of every algorithm. No program calls it, so none holds it; behind a feature it would build every room twice.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what signs for tests fails by panicking")]

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;

use super::algorithm::Algorithm;
use super::token::encode;
use super::verifier::Verifier;

/// A key pair, or a shared secret.
pub struct Signer {
    algorithm: Algorithm,
    key: Key,
    kid: Option<String>,
}

enum Key {
    Shared(Vec<u8>),
    Rsa(RsaKeyPair),
    Curve(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

impl Signer {
    /// A new key.
    pub fn generate(algorithm: Algorithm) -> Self {
        let curve =
            |curve: &'static EcdsaSigningAlgorithm| Key::Curve(EcdsaKeyPair::generate(curve).unwrap());
        let key = match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
                let mut secret = vec![0; 32];
                rand::fill(&mut secret).unwrap();
                Key::Shared(secret)
            }
            Algorithm::Es256 => curve(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Es512 => curve(&ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::EdDsa => Key::Edwards(Ed25519KeyPair::generate().unwrap()),
            _ => Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        };
        Self { algorithm, key, kid: None }
    }

    /// A shared secret.
    pub fn shared(algorithm: Algorithm, secret: &[u8]) -> Self {
        Self { algorithm, key: Key::Shared(secret.to_vec()), kid: None }
    }

    /// The same with a key id in its tokens.
    pub fn with_kid(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    /// Its algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A signed token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let mut header = json!({ "typ": "JWT", "alg": self.algorithm.name() });
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        self.token_with(&header, claims)
    }

    /// The same with a header of one's own.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        format!("{signed}.{}", encode(self.sign(signed.as_bytes())))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Shared(secret) => {
                let key = hmac::Key::new(self.algorithm.shared().unwrap(), secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Key::Rsa(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match self.algorithm {
                    Algorithm::Rs256 => &RSA_PKCS1_SHA256,
                    Algorithm::Rs384 => &RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    Algorithm::Ps384 => &RSA_PSS_SHA384,
                    _ => &RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Key::Curve(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    fn spki(&self) -> Vec<u8> {
        match &self.key {
            Key::Shared(_) => Vec::new(),
            Key::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Key::Curve(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Key::Edwards(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
        }
    }

    /// The public key in PEM.
    pub fn public_pem(&self) -> String {
        pem(&self.spki())
    }

    /// The private key in PEM (PKCS #8); `None` of a secret.
    pub fn private_pem(&self) -> Option<String> {
        let der: Vec<u8> = match &self.key {
            Key::Shared(_) => return None,
            Key::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair).unwrap().as_ref().to_vec(),
            Key::Curve(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Key::Edwards(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
        };
        let text = STANDARD.encode(der);
        Some(format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"))
    }

    /// The public key of an RSA pair that is too small to be taken.
    pub fn small_rsa_pem() -> String {
        // A modulus of 1024 bits; that it is no product of two primes plays no part.
        let mut modulus = vec![0xff; 128];
        modulus[127] = 0xfb;
        let components = aws_lc_rs::signature::RsaPublicKeyComponents { n: modulus, e: vec![1, 0, 1] };
        pem(components.as_der().unwrap().as_ref())
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            Key::Shared(_) => json!({}),
            Key::Rsa(_) => {
                let der = self.spki();
                let (_, info) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&der).unwrap();
                let x509_parser::public_key::PublicKey::RSA(key) = info.parsed().unwrap() else {
                    unreachable!()
                };
                json!({ "kty": "RSA", "n": encode(key.modulus), "e": encode(key.exponent) })
            }
            Key::Curve(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": self.algorithm.curve(), "x": encode(x), "y": encode(y) })
            }
            Key::Edwards(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
            }
        };
        jwk["use"] = json!("sig");
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// What verifies its tokens.
    pub fn verifier(&self) -> Verifier {
        match &self.key {
            Key::Shared(secret) => Verifier::shared(self.algorithm, secret).unwrap(),
            _ => Verifier::pem(self.algorithm, &self.public_pem()).unwrap(),
        }
    }
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}
