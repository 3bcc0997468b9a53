//! What an OpenID Connect provider says of itself and of a person: its discovery document, and what has to stand in an ID token.
//!
//! Whoever asks it has a line of its own; what is believed of the answers is the same for all.

use serde::Deserialize;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

/// Where the discovery document lies below an issuer (OpenID Connect Discovery 1.0, section 4).
pub const DISCOVERY: &str = "/.well-known/openid-configuration";

/// What the discovery document says (OpenID Connect Discovery 1.0, section 3).
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    /// Who the provider says it is.
    pub issuer: String,
    /// Where a browser logs in.
    pub authorization_endpoint: Option<String>,
    /// Where a code is exchanged for tokens.
    pub token_endpoint: Option<String>,
    /// Where a token is judged.
    pub introspection_endpoint: Option<String>,
    /// Where more is told of a person.
    pub userinfo_endpoint: Option<String>,
    /// Where a browser logs out.
    pub end_session_endpoint: Option<String>,
    /// Where a token is ended (RFC 8414, section 2).
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
    /// Where what a login asks for is left, before the browser goes there (RFC 9126, section 5).
    #[serde(default)]
    pub pushed_authorization_request_endpoint: Option<String>,
    /// Where the keys are published.
    pub jwks_uri: Option<String>,
    /// Whether it says who it is where it sends a browser back (RFC 9207, section 3).
    pub authorization_response_iss_parameter_supported: Option<bool>,
    /// How a client may show its secret.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Metadata {
    /// Whether a client's secret goes into the form, because the provider takes no other way. The usual one is `Authorization: Basic`.
    #[must_use]
    pub fn takes_secret_in_form(&self) -> bool {
        let supported = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let takes = |name: &str| supported.iter().any(|known| known == name);
        takes("client_secret_post") && !takes("client_secret_basic")
    }
}

/// For whom and for which login an ID token has to be made.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// The client.
    pub client_id: &'a str,
    /// What the login was begun with.
    pub nonce: &'a str,
}

impl Expected<'_> {
    /// Judges the claims of an ID token whose signature is good (OpenID Connect Core 1.0, section 3.1.3.7), but for its times; tells the subject.
    ///
    /// # Errors
    /// What is wrong, for a log.
    pub fn subject<'c>(&self, claims: &'c Map<String, Value>) -> Result<&'c str, &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(self.issuer) {
            return Err("the id token is another issuer's");
        }
        let is_meant = match claims.get("aud") {
            Some(Value::String(audience)) => audience == self.client_id,
            Some(Value::Array(list)) => list.iter().any(|one| one.as_str() == Some(self.client_id)),
            _ => false,
        };
        let presenter = claims.get("azp");
        if !is_meant || presenter.is_some_and(|presenter| presenter.as_str() != Some(self.client_id)) {
            return Err("the id token is made for another client");
        }
        let nonce = text("nonce").unwrap_or_default();
        if self.nonce.is_empty() || !bool::from(nonce.as_bytes().ct_eq(self.nonce.as_bytes())) {
            return Err("the id token was made for another login");
        }
        text("sub").filter(|subject| !subject.is_empty()).ok_or("the id token names nobody")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Expected, Metadata};

    #[test]
    fn an_id_token_is_for_one_client_and_one_login() {
        let expected = Expected { issuer: "https://idp.test", client_id: "usher", nonce: "n" };
        let good = json!({ "iss": "https://idp.test", "aud": "usher", "nonce": "n", "sub": "ann" });
        for (over, wanted) in [
            (json!({}), Ok("ann")),
            (json!({ "aud": ["other", "usher"], "azp": "usher" }), Ok("ann")),
            (json!({ "iss": "https://idp.test/" }), Err("the id token is another issuer's")),
            (json!({ "iss": null }), Err("the id token is another issuer's")),
            (json!({ "aud": "other" }), Err("the id token is made for another client")),
            (json!({ "aud": [] }), Err("the id token is made for another client")),
            (json!({ "aud": null }), Err("the id token is made for another client")),
            (json!({ "azp": "other" }), Err("the id token is made for another client")),
            (json!({ "azp": 1 }), Err("the id token is made for another client")),
            (json!({ "nonce": "m" }), Err("the id token was made for another login")),
            (json!({ "nonce": null }), Err("the id token was made for another login")),
            (json!({ "sub": "" }), Err("the id token names nobody")),
            (json!({ "sub": 7 }), Err("the id token names nobody")),
        ] {
            let mut claims = good.as_object().unwrap().clone();
            claims.extend(over.as_object().unwrap().clone());
            claims.retain(|_, value| *value != Value::Null);
            assert_eq!(expected.subject(&claims), wanted, "{over}");
        }
        let none = Expected { nonce: "", ..expected };
        assert!(
            none.subject(
                json!({ "iss": "https://idp.test", "aud": "usher", "sub": "ann" }).as_object().unwrap()
            )
            .is_err()
        );
    }

    #[test]
    fn a_secret_goes_into_the_form_only_where_nothing_else_is_taken() {
        for (methods, wanted) in [
            (json!(null), false),
            (json!([]), false),
            (json!(["client_secret_post", "client_secret_basic"]), false),
            (json!(["client_secret_post"]), true),
            (json!(["private_key_jwt"]), false),
        ] {
            let text = json!({ "issuer": "x", "token_endpoint_auth_methods_supported": methods });
            let metadata: Metadata = serde_json::from_value(text).unwrap();
            assert_eq!(metadata.takes_secret_in_form(), wanted, "{methods}");
        }
    }
}
