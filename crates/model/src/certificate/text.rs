//! A certificate's texts by nginx's names, for variables and headers.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Digest, SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::time::ASN1Time;

/// Characters of base64 in one line of PEM.
const PEM_LINE: usize = 64;

/// What nginx's `ssl_client_<name>` says of a certificate in DER; `None` for a name that it doesn't have. What a certificate says is escaped, so
/// that none of it can end a header's line.
#[must_use]
pub fn text(der: &[u8], name: &str) -> Option<String> {
    match name {
        "raw_cert" => return Some(pem(der)),
        // Each line but the first begins with a tab, so that it may stand in a header.
        "cert" => return Some(pem(der).trim_end().replace('\n', "\n\t")),
        "escaped_cert" => return Some(escaped(&pem(der))),
        "fingerprint" => return Some(hex(&digest(&SHA1_FOR_LEGACY_USE_ONLY, der))),
        _ => {}
    }
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(match name {
        "s_dn" => distinguished(certificate.subject()),
        "i_dn" => distinguished(certificate.issuer()),
        "serial" => certificate.raw_serial().iter().fold(String::new(), |mut text, byte| {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02X}");
            text
        }),
        "v_start" => day(&certificate.validity().not_before),
        "v_end" => day(&certificate.validity().not_after),
        "v_remain" => {
            let left = certificate.validity().time_to_expiration();
            left.map_or(0, |left| left.whole_days()).to_string()
        }
        _ => return None,
    })
}

fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let base64 = STANDARD.encode(der);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(PEM_LINE));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As RFC 2253 writes it: the last part first, special characters escaped.
fn distinguished(name: &x509_parser::x509::X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (at, part) in parts.iter().rev().enumerate() {
        for (inner, attribute) in part.iter().enumerate() {
            text.push_str(match (at, inner) {
                (0, 0) => "",
                (_, 0) => ",",
                _ => "+",
            });
            let kind = attribute.attr_type();
            let registry = x509_parser::objects::oid_registry();
            match x509_parser::objects::oid2abbrev(kind, registry) {
                Ok(short) => text.push_str(short),
                Err(_) => text.push_str(&kind.to_id_string()),
            }
            text.push('=');
            push_escaped(&mut text, attribute.as_str().unwrap_or_default());
        }
    }
    text
}

/// Nothing that a certificate says may end a header's line, or look like another part of the name.
fn push_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (at, letter) in value.chars().enumerate() {
        let at_an_edge = (at == 0 && matches!(letter, ' ' | '#')) || (at == last && letter == ' ');
        if letter.is_control() || !letter.is_ascii() {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                // Writing to a string can't fail.
                let _ = write!(text, "\\{byte:02X}");
            }
        } else {
            if at_an_edge || matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
                text.push('\\');
            }
            text.push(letter);
        }
    }
}

fn day(time: &ASN1Time) -> String {
    let time = time.to_datetime();
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        .get(usize::from(u8::from(time.month())).saturating_sub(1))
        .copied()
        .unwrap_or_default();
    format!(
        "{month} {:2} {:02}:{:02}:{:02} {} GMT",
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.year()
    )
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::text;

    #[test]
    fn a_certificate_answers_as_nginx_does() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "A, \r\nX-Evil: \u{e9}");
        params.distinguished_name.push(DnType::CommonName, "jack");
        params.serial_number = Some(vec![0x0a, 0xff].into());
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2126, 1, 2);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        for (name, wanted) in [
            ("s_dn", "CN=jack,O=A\\, \\0D\\0AX-Evil: \\C3\\A9"),
            ("i_dn", "CN=jack,O=A\\, \\0D\\0AX-Evil: \\C3\\A9"),
            ("serial", "0AFF"),
            ("v_start", "Jan  2 00:00:00 2026 GMT"),
            ("v_end", "Jan  2 00:00:00 2126 GMT"),
        ] {
            assert_eq!(text(certificate.der(), name).as_deref(), Some(wanted), "{name}");
        }
        let pem = text(certificate.der(), "raw_cert").unwrap();
        assert_eq!(pem.trim_end(), certificate.pem().replace("\r\n", "\n").trim_end());
        let escaped = text(certificate.der(), "escaped_cert").unwrap();
        assert!(escaped.starts_with("-----BEGIN%20CERTIFICATE-----%0A"), "{escaped}");
        assert_eq!(text(certificate.der(), "fingerprint").unwrap().len(), 40);
        assert!(text(certificate.der(), "v_remain").unwrap().parse::<u32>().unwrap() > 30_000);
        assert_eq!(text(certificate.der(), "nothing"), None);
        assert_eq!(text(b"garbage", "s_dn"), None);
    }
}
