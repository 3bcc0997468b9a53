//! Who a client is: what stands in a document at its own address, or what it said when it registered.
//!
//! Registering (RFC 7591) stores nothing: what the client said is sealed into the identifier that it gets, so that nobody fills the store by asking,
//! and an identifier is good on every gateway of it for as long as the keyring is.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Server, redirect};
use crate::tools::clean;

/// What an identifier of ours begins with.
const MARK: &str = "uc_";
/// What an identifier is sealed for.
const PURPOSE: &str = "oauth-client";
/// Addresses of one client.
const MOST_REDIRECTS: usize = 10;
/// Characters of a name.
const LONGEST_NAME: usize = 80;
/// Bytes of what a client says of itself.
const MOST_BYTES: usize = 16 * 1024;

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// Its identifier, as it came.
    pub(super) id: String,
    /// What it calls itself: a claim, shown as such.
    pub(super) name: String,
    /// Where answers may go.
    pub(super) redirects: Vec<String>,
    /// The host that vouches for it, where its document has one.
    pub(super) vouched_by: Option<String>,
}

impl Client {
    /// What a document of metadata says (RFC 7591, section 2), as far as it matters here.
    ///
    /// # Errors
    /// The code of OAuth and a sentence.
    pub(super) fn of(id: &str, document: &Value) -> Result<Self, (&'static str, String)> {
        let wrong = |why: String| ("invalid_client_metadata", why);
        if !document.is_object() {
            return Err(wrong("the client's metadata is no JSON object".to_owned()));
        }
        let uris = document.get("redirect_uris").and_then(Value::as_array).filter(|uris| !uris.is_empty());
        let Some(uris) = uris.filter(|uris| uris.len() <= MOST_REDIRECTS) else {
            return Err((
                "invalid_redirect_uri",
                format!("redirect_uris takes 1 to {MOST_REDIRECTS} addresses"),
            ));
        };
        let mut redirects = Vec::new();
        for uri in uris {
            let uri = uri.as_str().unwrap_or_default();
            redirect::check(uri).map_err(|why| ("invalid_redirect_uri", why))?;
            redirects.push(uri.to_owned());
        }
        if let Some(method) = document.get("token_endpoint_auth_method")
            && method != "none"
        {
            return Err(wrong(
                "token_endpoint_auth_method: only none is served; PKCE shows that it is the same client"
                    .to_owned(),
            ));
        }
        for (member, allowed) in
            [("grant_types", &["authorization_code", "refresh_token"][..]), ("response_types", &["code"][..])]
        {
            let given = document.get(member).and_then(Value::as_array);
            let needed = allowed.first().copied().unwrap_or_default();
            if given.is_some_and(|given| !given.iter().any(|one| one == needed)) {
                return Err(wrong(format!("{member} has to hold {needed}")));
            }
        }
        let name = document.get("client_name").and_then(Value::as_str).unwrap_or_default().trim();
        let name =
            if name.is_empty() { "a client without a name".to_owned() } else { clean(name, LONGEST_NAME) };
        Ok(Self { id: id.to_owned(), name, redirects, vouched_by: None })
    }
}

impl Server {
    /// The client with this identifier.
    ///
    /// # Errors
    /// Why there is none, for the person or developer who looks at it.
    pub(super) async fn client(&self, id: &str) -> Result<Client, String> {
        if id.starts_with("https://") || id.starts_with("http://") {
            return self.documents.client(id).await;
        }
        let sealed = id.strip_prefix(MARK).and_then(|id| URL_SAFE_NO_PAD.decode(id).ok());
        let sealed = sealed.and_then(|sealed| String::from_utf8(sealed).ok());
        let told = sealed.and_then(|sealed| self.service.open_note(PURPOSE, &sealed));
        let told = told.and_then(|told| serde_json::from_str::<Value>(&told).ok());
        let told = told.ok_or("this client is not known here: let it register anew, or give the address of its metadata as client_id")?;
        Client::of(id, &told).map_err(|(_, why)| why)
    }
}

/// `POST /oauth/register`.
pub(super) async fn register(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    let refused = |code: &str, why: String| {
        (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": code, "error_description": why })))
            .into_response()
    };
    if body.len() > MOST_BYTES {
        return refused("invalid_client_metadata", format!("at most {MOST_BYTES} bytes are taken"));
    }
    let Ok(document) = serde_json::from_slice::<Value>(&body) else {
        return refused("invalid_client_metadata", "the body is no JSON".to_owned());
    };
    let client = match Client::of("", &document) {
        Ok(client) => client,
        Err((code, why)) => return refused(code, why),
    };
    let kept = json!({ "client_name": client.name, "redirect_uris": client.redirects });
    let Some(sealed) = server.service.seal_note(PURPOSE, &kept.to_string()) else {
        return refused(
            "invalid_client_metadata",
            "no identifier can be made; look at the log of Usher".to_owned(),
        );
    };
    let answer = json!({
        "client_id": format!("{MARK}{}", URL_SAFE_NO_PAD.encode(sealed)),
        "client_name": client.name,
        "redirect_uris": client.redirects,
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
    });
    (StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Client;

    #[test]
    fn what_a_client_says_is_looked_at() {
        let good = json!({ "client_name": "Claude\u{202e}", "redirect_uris": ["https://claude.ai/cb"], "grant_types": ["authorization_code"],
            "token_endpoint_auth_method": "none", "logo_uri": "https://claude.ai/logo.png" });
        let client = Client::of("x", &good).unwrap();
        assert_eq!(client.name, "Claude\\u{202e}");
        assert_eq!(client.redirects, ["https://claude.ai/cb"]);
        for (member, value, code) in [
            ("redirect_uris", json!([]), "invalid_redirect_uri"),
            ("redirect_uris", json!("https://a.test"), "invalid_redirect_uri"),
            ("redirect_uris", json!(["http://evil.test/"]), "invalid_redirect_uri"),
            ("redirect_uris", json!([1]), "invalid_redirect_uri"),
            ("redirect_uris", json!(vec!["https://a.test/"; 11]), "invalid_redirect_uri"),
            ("token_endpoint_auth_method", json!("client_secret_basic"), "invalid_client_metadata"),
            ("grant_types", json!(["client_credentials"]), "invalid_client_metadata"),
            ("response_types", json!(["token"]), "invalid_client_metadata"),
        ] {
            let mut wrong = good.clone();
            wrong[member] = value;
            assert_eq!(Client::of("x", &wrong).unwrap_err().0, code, "{wrong}");
        }
        assert!(Client::of("x", &json!([])).is_err());
    }
}
