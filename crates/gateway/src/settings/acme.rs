//! `acme`: which certificates are ordered by themselves, and from whom.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

use super::Settings;
use super::read::{Document, only_members};

/// Let's Encrypt.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Names of one certificate: what Let's Encrypt takes.
const MOST_NAMES: usize = 100;
/// Certificates in all.
const MOST_CERTIFICATES: usize = 1000;
/// Everything that the section may hold.
const MEMBERS: &[&str] =
    &["directory", "ca_file", "email", "terms_of_service_agreed", "challenge", "certificates"];

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acme {
    /// The authority's directory. Default Let's Encrypt's.
    pub(crate) directory: String,
    /// Certificates in PEM that its own server is trusted by, beside the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Who is told when something is wrong with a certificate.
    pub(crate) email: Option<String>,
    /// How names are proved. Default over HTTP.
    pub(crate) challenge: Challenge,
    /// The names of each certificate, the first of which is its object's id behind `acme-`.
    pub(crate) certificates: Vec<Vec<String>>,
}

/// How a name is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A request over HTTP to port 80.
    Http,
    /// A handshake on port 443.
    TlsAlpn,
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http-01",
            Self::TlsAlpn => "tls-alpn-01",
        })
    }
}

/// Reads the section.
///
/// # Errors
/// The setting, its value and what is allowed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    let Some(section) = file.at("acme").filter(|section| !section.is_null()) else { return Ok(()) };
    only_members("acme", section, MEMBERS)?;
    let directory = file.text("acme.directory")?.unwrap_or(DIRECTORY);
    if !directory.starts_with("https://") {
        return Err(format!(
            "acme.directory: {directory} is not used: authorities are spoken to over https://"
        ));
    }
    if file.truth("acme.terms_of_service_agreed")? != Some(true) {
        return Err(format!(
            "acme.terms_of_service_agreed must be true: read the terms of the authority at {directory}, and agree to them there"
        ));
    }
    let email = file.text("acme.email")?;
    if let Some(email) = email
        && (!email.contains('@') || email.contains(|letter: char| letter.is_whitespace() || letter == ','))
    {
        return Err(format!("acme.email: {email} is no address; write one, such as ops@example.com"));
    }
    let challenge = match file.text("acme.challenge")? {
        None | Some("http-01") => Challenge::Http,
        Some("tls-alpn-01") => Challenge::TlsAlpn,
        Some(other) => {
            return Err(format!("acme.challenge: {other} is not supported; write http-01 or tls-alpn-01"));
        }
    };
    let certificates = certificates(file.at("acme.certificates"))?;
    settings.acme = Some(Acme {
        directory: directory.to_owned(),
        ca_file: file.text("acme.ca_file")?.map(PathBuf::from),
        email: email.map(str::to_owned),
        challenge,
        certificates,
    });
    Ok(())
}

fn certificates(value: Option<&Value>) -> Result<Vec<Vec<String>>, String> {
    const EXAMPLE: &str =
        "list the names of each certificate, such as [[example.com, www.example.com], [api.example.com]]";
    let Some(Value::Array(all)) = value else { return Err(format!("acme.certificates: {EXAMPLE}")) };
    if all.is_empty() || all.len() > MOST_CERTIFICATES {
        return Err(format!("acme.certificates: {} of them; 1 to {MOST_CERTIFICATES}: {EXAMPLE}", all.len()));
    }
    let mut firsts = HashSet::new();
    let mut certificates = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let names = match one {
            Value::String(name) => vec![name.as_str()],
            Value::Array(names) => names
                .iter()
                .map(|name| {
                    name.as_str().ok_or_else(|| format!("acme.certificates[{at}]: {name} is no name"))
                })
                .collect::<Result<_, _>>()?,
            other => return Err(format!("acme.certificates[{at}]: {other} is no list of names; {EXAMPLE}")),
        };
        if names.is_empty() || names.len() > MOST_NAMES {
            return Err(format!(
                "acme.certificates[{at}] has {} names; 1 to {MOST_NAMES} are allowed",
                names.len()
            ));
        }
        let names: Vec<String> = names.into_iter().map(|name| host(at, name)).collect::<Result<_, _>>()?;
        if let Some(first) = names.first()
            && !firsts.insert(first.clone())
        {
            return Err(format!("acme.certificates[{at}]: another certificate begins with {first} too"));
        }
        certificates.push(names);
    }
    Ok(certificates)
}

fn host(at: usize, name: &str) -> Result<String, String> {
    let name = name.to_ascii_lowercase();
    if name.starts_with("*.") {
        return Err(format!(
            "acme.certificates[{at}]: {name} can only be proved in the DNS, which is not supported; name the hosts one by one"
        ));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    // The id of the object is `acme-` and the first name, and ids have 64 letters.
    if is_address || name.len() > 59 || !name.split('.').all(label) {
        return Err(format!(
            "acme.certificates[{at}]: {name} is no name of a host of at most 59 letters; write one such as www.example.com"
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::super::read::parsed;
    use super::{Acme, Challenge};

    #[test]
    fn the_section_is_read_with_its_defaults() {
        assert_eq!(parsed("acme:\n").unwrap().acme, None);
        let settings = parsed(
            "acme:\n  terms_of_service_agreed: true\n  certificates: [[Example.com, www.example.com], api.example.com]\n",
        )
        .unwrap();
        let wanted = Acme {
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            ca_file: None,
            email: None,
            challenge: Challenge::Http,
            certificates: vec![
                vec!["example.com".to_owned(), "www.example.com".to_owned()],
                vec!["api.example.com".to_owned()],
            ],
        };
        assert_eq!(settings.acme, Some(wanted));
    }

    #[test]
    fn a_mistake_is_named_with_what_is_allowed() {
        for (section, part) in [
            ("certificates: [a.test]", "terms_of_service_agreed must be true"),
            ("terms_of_service_agreed: true", "list the names"),
            ("terms_of_service_agreed: true\n  certificates: []", "1 to 1000"),
            ("terms_of_service_agreed: true\n  certificates: [[]]", "has 0 names"),
            ("terms_of_service_agreed: true\n  certificates: ['*.a.test']", "one by one"),
            ("terms_of_service_agreed: true\n  certificates: [192.0.2.1]", "no name of a host"),
            ("terms_of_service_agreed: true\n  certificates: ['a b']", "no name of a host"),
            (
                "terms_of_service_agreed: true\n  certificates: [a.test, [a.test, b.test]]",
                "begins with a.test",
            ),
            (
                "terms_of_service_agreed: true\n  certificates: [a.test]\n  challenge: dns-01",
                "http-01 or tls-alpn-01",
            ),
            (
                "terms_of_service_agreed: true\n  certificates: [a.test]\n  directory: http://a.test/",
                "https://",
            ),
            ("terms_of_service_agreed: true\n  certificates: [a.test]\n  email: nobody", "no address"),
            ("terms_of_service_agreed: true\n  certificates: [a.test]\n  domains: [b.test]", "domains"),
        ] {
            let error = parsed(&format!("acme:\n  {section}\n")).unwrap_err();
            assert!(error.contains(part), "{section}: {error}");
        }
    }
}
