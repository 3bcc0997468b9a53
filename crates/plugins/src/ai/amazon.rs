//! Requests to Amazon, signed: by whose key, over which path, host and body.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_http1::head::{BadField, Head};
use usher_model::aws::{Keys, Signed};
use usher_model::secret::Secret;

use crate::form::escaped;

/// What Amazon calls the service of its models.
const SERVICE: &str = "bedrock";
/// The fields that a signature brings along.
pub(super) const FIELDS: [&str; 3] = ["authorization", "x-amz-date", "x-amz-security-token"];

/// A key of Amazon's.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    /// Its id, at least one character.
    #[schemars(length(min = 1))]
    access_key_id: Secret<String>,
    /// The secret that belongs to it, at least one character.
    #[schemars(length(min = 1))]
    secret_access_key: Secret<String>,
    /// What comes with keys for a while.
    #[schemars(length(min = 1))]
    session_token: Option<Secret<String>>,
}

/// Who signs, and what for.
pub(super) struct Signer {
    keys: Written,
    region: String,
    /// As it will stand in `Host`.
    host: String,
}

impl Signer {
    /// Signs for this host in this region.
    pub(super) fn new(keys: &Written, region: &str, host: String) -> Self {
        Self { keys: keys.clone(), region: region.to_owned(), host }
    }

    /// Puts a signature over this path and body into the fields. The path is sent as it is here.
    ///
    /// # Errors
    /// The session's token can't stand in a field.
    pub(super) fn sign(
        &self,
        head: &mut Head,
        path: &str,
        body: &[u8],
        unix_ms: u64,
    ) -> Result<(), BadField> {
        let at = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let date = at.unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string();
        // "Create a signed AWS API request": encoded twice for every service but S3.
        let canonical: Vec<String> = path.split('/').map(escaped).collect();
        let canonical = canonical.join("/");
        let token = self.keys.session_token.as_ref().map(Secret::expose);
        let mut fields = vec![("host", self.host.as_str()), ("x-amz-date", &date)];
        fields.extend(token.map(|token| ("x-amz-security-token", token.as_str())));
        let request = Signed {
            method: "POST",
            path: &canonical,
            fields: &fields,
            body,
            date: &date,
            region: &self.region,
        };
        let keys =
            Keys { id: self.keys.access_key_id.expose(), secret: self.keys.secret_access_key.expose() };
        head.set("Authorization", request.authorization(SERVICE, &keys))?;
        for (name, value) in fields.into_iter().skip(1) {
            head.set(name, value)?;
        }
        Ok(())
    }
}
