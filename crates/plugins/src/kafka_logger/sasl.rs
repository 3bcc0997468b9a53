//! Proves to a broker who the gateway is: `PLAIN` (RFC 4616) and `SCRAM` (RFC 5802).

use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, digest};
use aws_lc_rs::{hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::config::{Mechanism, Sasl};

/// The most rounds that a broker may ask for: they are done by the worker itself, which serves nobody meanwhile. Kafka's own default is 4096.
const MOST_ROUNDS: u32 = 65_536;
/// The fewest (RFC 7677, section 4).
const FEWEST_ROUNDS: u32 = 4_096;

/// What is sent for `PLAIN`.
pub(super) fn plain(sasl: &Sasl) -> Vec<u8> {
    format!("\0{}\0{}", sasl.user, sasl.password.expose()).into_bytes()
}

/// A proof of the gateway's and of the broker's, step by step.
pub(super) struct Scram<'a> {
    sasl: &'a Sasl,
    nonce: String,
    /// What the broker has to prove that it knows the password too.
    wanted: Vec<u8>,
}

impl<'a> Scram<'a> {
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn new(sasl: &'a Sasl) -> Result<Self, String> {
        let mut bytes = [0; 18];
        rand::fill(&mut bytes).map_err(|_| "the system has no random numbers".to_owned())?;
        Ok(Self { sasl, nonce: STANDARD.encode(bytes), wanted: Vec::new() })
    }

    /// The first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare())
    }

    fn bare(&self) -> String {
        let user = self.sasl.user.replace('=', "=3D").replace(',', "=2C");
        format!("n={user},r={}", self.nonce)
    }

    /// The second message, by the broker's answer to the first.
    ///
    /// # Errors
    /// The answer is none.
    pub(super) fn second(&mut self, answer: &[u8]) -> Result<String, &'static str> {
        const BAD: &str = "a broker's part of SCRAM can't be read";
        let answer = std::str::from_utf8(answer).map_err(|_| BAD)?;
        let member = |name: &str| answer.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = member("r=").filter(|nonce| nonce.starts_with(&self.nonce)).ok_or(BAD)?;
        let salt = member("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or(BAD)?;
        let rounds: u32 = member("i=").and_then(|rounds| rounds.parse().ok()).ok_or(BAD)?;
        if !(FEWEST_ROUNDS..=MOST_ROUNDS).contains(&rounds) {
            return Err("a broker asks for too few or too many rounds of SCRAM (4096 to 65536 are done)");
        }
        let rounds = NonZeroU32::new(rounds).ok_or(BAD)?;
        let (derived, mac, hash) = match self.sasl.mechanism {
            Mechanism::ScramSha512 => (pbkdf2::PBKDF2_HMAC_SHA512, hmac::HMAC_SHA512, &digest::SHA512),
            _ => (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256),
        };
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(derived, rounds, &salt, self.sasl.password.expose().as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(mac, key), text).as_ref().to_vec();
        let own = sign(&salted, b"Client Key");
        let bound = format!("c=biws,r={nonce}");
        let said = format!("{},{answer},{bound}", self.bare());
        let signature = sign(digest(hash, &own).as_ref(), said.as_bytes());
        let proof: Vec<u8> = own.iter().zip(&signature).map(|(own, signature)| own ^ signature).collect();
        self.wanted = sign(&sign(&salted, b"Server Key"), said.as_bytes());
        Ok(format!("{bound},p={}", STANDARD.encode(proof)))
    }

    /// Whether the broker's last answer proves that it knows the password.
    pub(super) fn is_proved(&self, answer: &[u8]) -> bool {
        let answer = std::str::from_utf8(answer).unwrap_or_default();
        let signature = answer.split(',').find_map(|part| part.strip_prefix("v="));
        let signature = signature.and_then(|signature| STANDARD.decode(signature).ok()).unwrap_or_default();
        !self.wanted.is_empty() && verify_slices_are_equal(&signature, &self.wanted).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Scram, plain};
    use crate::kafka_logger::config::Sasl;

    fn sasl(mechanism: &str) -> Sasl {
        serde_json::from_value(json!({ "mechanism": mechanism, "user": "user", "password": "pencil" }))
            .unwrap()
    }

    #[test]
    fn plain_is_user_and_password() {
        assert_eq!(plain(&sasl("PLAIN")), b"\0user\0pencil");
    }

    #[test]
    fn the_example_of_rfc_7677_comes_out() {
        let sasl = sasl("SCRAM-SHA-256");
        let mut scram = Scram { sasl: &sasl, nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(), wanted: Vec::new() };
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let answer = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let second = scram.second(answer.as_bytes()).unwrap();
        assert_eq!(
            second,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(scram.is_proved(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!scram.is_proved(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="));
        assert!(!scram.is_proved(b"e=invalid-proof") && !scram.is_proved(b""));
    }

    #[test]
    fn a_broker_that_lies_is_not_answered() {
        let sasl = sasl("SCRAM-SHA-512");
        for answer in [
            "",
            "r=,s=W22Z,i=4096",
            "r=other,s=W22Z,i=4096",
            "r=NONCEx,s=!,i=4096",
            "r=NONCEx,s=W22Z,i=1",
            "r=NONCEx,s=W22Z,i=4000000000",
            "r=NONCEx,s=W22Z",
            "\u{0}",
        ] {
            let mut scram = Scram::new(&sasl).unwrap();
            let answer = answer.replace("NONCE", &scram.nonce);
            assert!(scram.second(answer.as_bytes()).is_err(), "{answer}");
            assert!(!scram.is_proved(b"v="), "{answer}");
        }
    }
}
