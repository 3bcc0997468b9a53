//! AWS's signature, version 4 ("Create a signed AWS API request" in its general reference).

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

/// A request to be signed. It has no query.
pub struct Signed<'a> {
    /// `POST` and so on.
    pub method: &'a str,
    /// The canonical path: each segment as it is sent, percent-encoded once more.
    pub path: &'a str,
    /// In the order of their names, which are in lower case; `host` and `x-amz-date` are among them.
    pub fields: &'a [(&'a str, &'a str)],
    /// The body, whole.
    pub body: &'a [u8],
    /// Such as `20150830T123600Z`.
    pub date: &'a str,
    /// Such as `us-east-1`.
    pub region: &'a str,
}

/// Who signs.
pub struct Keys<'a> {
    /// The access key's id.
    pub id: &'a str,
    /// The secret that belongs to it.
    pub secret: &'a str,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

impl Signed<'_> {
    /// The value of `Authorization` for this service, such as `bedrock`.
    #[must_use]
    pub fn authorization(&self, service: &str, keys: &Keys<'_>) -> String {
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let fields: String = self.fields.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let request = format!("{}\n{}\n\n{fields}\n{names}\n{}", self.method, self.path, sha256(self.body));
        let day = self.date.split('T').next().unwrap_or_default();
        let scope = format!("{day}/{}/{service}/aws4_request", self.region);
        let text = format!("{ALGORITHM}\n{}\n{scope}\n{}", self.date, sha256(request.as_bytes()));
        let mut key = mac(format!("AWS4{}", keys.secret).as_bytes(), day);
        for part in [self.region, service, "aws4_request"] {
            key = mac(key.as_ref(), part);
        }
        let signature = hex(mac(key.as_ref(), &text).as_ref());
        format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", keys.id)
    }
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{Keys, Signed};

    /// "post-vanilla" and "post-x-www-form-urlencoded" of AWS's own test suite for signature version 4.
    #[test]
    fn requests_are_signed_as_in_the_suite_of_aws() {
        let keys = Keys { id: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
        let date = "20150830T123600Z";
        let plain = [("host", "example.amazonaws.com"), ("x-amz-date", date)];
        let form = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", "example.amazonaws.com"),
            ("x-amz-date", date),
        ];
        for (fields, body, signature) in [
            (&plain[..], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (&form[..], "Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
        ] {
            let request = Signed {
                method: "POST",
                path: "/",
                fields,
                body: body.as_bytes(),
                date,
                region: "us-east-1",
            };
            let authorization = request.authorization("service", &keys);
            assert!(authorization.ends_with(&format!("Signature={signature}")), "{authorization}");
            assert!(authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
            ));
        }
    }
}
