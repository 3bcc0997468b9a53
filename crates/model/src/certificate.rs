//! Certificates and private keys in PEM: whether they can be used, and what a person wants to know of them.
//!
//! Sentences never repeat what stands in a key: the parser's own words might quote it.

mod text;

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use text::text;

/// Names that a line tells before the rest is counted.
const NAMED: usize = 4;
/// Bytes of the fingerprint that a line tells.
const TOLD_BYTES: usize = 6;

/// What a person wants to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The names it is for: those of its alternative names, or its common name where it has none.
    pub names: Vec<String>,
    /// Since when it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when, in seconds since 1970.
    pub not_after: i64,
    /// The day of [`Certificate::not_after`], such as `2027-01-31`.
    pub until: String,
    /// The beginning of its SHA-256, in hex.
    pub fingerprint: String,
}

/// Why a certificate and its key can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPair {
    /// The certificate.
    #[error("failed to parse cert: {0}")]
    Certificate(String),
    /// The key.
    #[error("failed to parse key: {0}")]
    Key(String),
    /// Both are good, but not for each other.
    #[error(
        "failed to parse key: it does not belong to the certificate; give the key that the certificate was made for"
    )]
    Mismatch,
}

impl Certificate {
    /// The first certificate of a PEM text, which is the one that is shown to others.
    ///
    /// # Errors
    /// It holds none that can be read.
    pub fn read(pem: &str) -> Result<Self, String> {
        let chain = chain(pem)?;
        let first = chain.first().ok_or_else(none)?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|error| unreadable(&error))?;
        let until = parsed.validity().not_after.to_datetime();
        let hash = digest(&SHA256, first);
        Ok(Self {
            names: names(&parsed),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            until: format!("{:04}-{:02}-{:02}", until.year(), u8::from(until.month()), until.day()),
            fingerprint: hash.as_ref().iter().take(TOLD_BYTES).fold(String::new(), |mut text, byte| {
                // Writing to a string can't fail.
                let _ = write!(text, "{byte:02x}");
                text
            }),
        })
    }

    /// Whether it is for this name; `*.a.example` in the certificate is for one label more.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.names.iter().map(|known| known.to_ascii_lowercase()).any(|known| {
            known == name
                || known.strip_prefix('*').is_some_and(|suffix| {
                    name.split_once('.').is_some_and(|(label, rest)| {
                        !label.is_empty() && suffix.strip_prefix('.').is_some_and(|suffix| suffix == rest)
                    })
                })
        })
    }
}

/// One line that tells a certificate apart without its text, such as `certificate 3f9c2a0b1d77 of a.example, until 2027-01-31`; `None` where
/// the text is no certificate in PEM.
#[must_use]
pub fn line(pem: &str) -> Option<String> {
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return None;
    }
    let Ok(certificate) = Certificate::read(pem) else {
        return Some("a certificate that can't be read".to_owned());
    };
    let shown: Vec<&str> = certificate.names.iter().take(NAMED).map(String::as_str).collect();
    let more = certificate.names.len().saturating_sub(NAMED);
    let names = match (shown.is_empty(), more) {
        (true, _) => "no name".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    };
    Some(format!("certificate {} of {names}, until {}", certificate.fingerprint, certificate.until))
}

/// Checks that a certificate and a private key can be used with each other.
///
/// # Errors
/// Which of them can't, and why.
pub fn check_pair(cert: &str, key: &str) -> Result<(), BadPair> {
    let chain = chain(cert).map_err(BadPair::Certificate)?;
    let key = private_key(key).map_err(BadPair::Key)?;
    let key = any_supported_type(&key).map_err(|_| {
        BadPair::Key("it is of a kind that is not supported; give an RSA, ECDSA or Ed25519 key".to_owned())
    })?;
    match CertifiedKey::new(chain, key).keys_match() {
        // A key that doesn't tell its public half is believed, as the handshake will show.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(BadPair::Mismatch),
        Err(error) => Err(BadPair::Certificate(error.to_string())),
    }
}

/// Checks that a text is the private RSA key of a service account, which statements can be signed with.
///
/// # Errors
/// Why it isn't.
pub fn check_rsa_key(pem: &str) -> Result<(), String> {
    let wrong = || "it is no RSA key, which service accounts of Google have".to_owned();
    let key = any_supported_type(&private_key(pem)?).map_err(|_| wrong())?;
    if key.algorithm() == rustls::SignatureAlgorithm::RSA { Ok(()) } else { Err(wrong()) }
}

/// Checks that a text holds certificates of authorities that others can be verified by.
///
/// # Errors
/// It holds none, or one that can't be read.
pub fn check_authority(pem: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(pem)? {
        roots.add(certificate).map_err(|error| format!("failed to parse cert: {error}"))?;
    }
    Ok(())
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is no certificate in PEM: {error}"))?;
    for certificate in &chain {
        X509Certificate::from_der(certificate).map_err(|error| unreadable(&error))?;
    }
    if chain.is_empty() { Err(none()) } else { Ok(chain) }
}

fn none() -> String {
    "it holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----".to_owned()
}

fn unreadable(error: &dyn std::fmt::Display) -> String {
    format!("its PEM holds something that is no certificate: {error}")
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, String> {
    if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(
            "it is protected by a passphrase, which nobody could type at a start; give the key without one"
                .to_owned(),
        );
    }
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        "it is no private key in PEM, which begins with -----BEGIN PRIVATE KEY----- or the like".to_owned()
    })
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|found| &found.value.general_names);
    let mut names: Vec<String> = alternative
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(str::to_owned));
    }
    names
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|all| std::net::Ipv6Addr::from(all).to_string())
}

#[cfg(test)]
mod tests {
    use super::{BadPair, Certificate, check_authority, check_pair, line};

    fn made(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_fits_only_itself() {
        let ((cert, key), (_, other)) = (made(&["a.example"]), made(&["a.example"]));
        assert_eq!(check_pair(&cert, &key), Ok(()));
        assert_eq!(check_pair(&cert, &other), Err(BadPair::Mismatch));
        for (cert, key, word) in [
            ("nothing", key.as_str(), "failed to parse cert"),
            (&cert, "nothing", "failed to parse key"),
            (&cert, &cert, "failed to parse key"),
            (
                &cert,
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
                "passphrase",
            ),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", &key, "no certificate"),
        ] {
            let said = check_pair(cert, key).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
        assert!(check_authority(&cert).is_ok());
        assert!(check_authority("x").is_err());
    }

    #[test]
    fn a_certificate_tells_its_names_and_its_end() {
        let (cert, key) = made(&["a.example", "*.b.example"]);
        let read = Certificate::read(&cert).unwrap();
        assert_eq!(read.names, ["a.example", "*.b.example"]);
        for (name, covered) in [
            ("A.example", true),
            ("x.b.example", true),
            ("b.example", false),
            ("x.y.b.example", false),
            ("c", false),
        ] {
            assert_eq!(read.covers(name), covered, "{name}");
        }
        let told = line(&cert).unwrap();
        assert!(told.contains("a.example, *.b.example, until 4096-01-01"), "{told}");
        assert!(!told.contains("BEGIN"));
        assert_eq!(line(&key), None);
    }
}
