//! A small authorization server for the chat side, by OAuth 2.1: a client sends a person here, the person signs in as a user of the console and says
//! yes, and the client gets a token of its own that does no more.
//!
//! Only public clients with PKCE (S256) are served; what a client says of itself is a document at its own address, or sealed into the identifier that
//! it is given when it registers, so that nothing is stored for whoever only asks. Tokens lie in the store among all others.

mod address;
mod authorize;
mod client;
mod codes;
mod document;
mod form;
mod metadata;
mod page;
mod provided;
mod redirect;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use usher_admin::keys::{Guesses, Passwords};
use usher_admin::oidc::Oidc;
use usher_admin::service::Service;
use usher_model::change::Role;

pub(crate) use address::Addresses;
use codes::Codes;
use document::Documents;

/// How the authorization server behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oauth {
    /// Whether documents of clients may lie at private addresses and loopback, and on other ports than 443. Default false.
    pub private_clients: bool,
}

/// The two scopes that a client can be given: roles of tokens, by the least power.
pub(crate) const SCOPES: [(&str, Role); 2] = [("viewer", Role::Viewer), ("chat", Role::Chat)];

/// The role that a list of scopes asks for: the most of them; that of chats where nothing is said.
///
/// # Errors
/// The first scope that there isn't.
fn role_of(scope: Option<&str>) -> Result<Role, String> {
    let mut most = None;
    for word in scope.unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        let known = SCOPES.iter().find(|(name, _)| *name == word);
        let (_, role) = known.ok_or_else(|| word.chars().take(64).collect::<String>())?;
        most = most.max(Some(*role));
    }
    Ok(most.unwrap_or(Role::Chat))
}

/// The name of a scope.
fn scope_of(role: Role) -> &'static str {
    if role == Role::Viewer { "viewer" } else { "chat" }
}

/// What the server knows.
pub(crate) struct Server {
    service: Arc<Service>,
    addresses: Arc<Addresses>,
    documents: Documents,
    codes: Codes,
    guesses: Guesses,
    passwords: Passwords,
    /// The provider that people may log in by, beside passwords.
    oidc: Option<Arc<Oidc>>,
}

/// Everything of it, for whoever has no token yet.
pub(crate) fn router(
    service: Arc<Service>,
    addresses: Arc<Addresses>,
    rules: Oauth,
    oidc: Option<Arc<Oidc>>,
) -> Router {
    let server = Server {
        service,
        addresses,
        documents: Documents::new(rules.private_clients),
        codes: Codes::default(),
        guesses: Guesses::default(),
        passwords: Passwords::default(),
        oidc,
    };
    Router::new()
        .route("/.well-known/oauth-protected-resource", get(metadata::whole_side))
        .route("/.well-known/oauth-protected-resource/mcp", get(metadata::mcp))
        .route("/.well-known/oauth-authorization-server", get(metadata::server))
        .route("/oauth/authorize", get(authorize::ask).post(authorize::answer))
        .route(provided::BACK, get(provided::back))
        .route("/oauth/token", post(token::token))
        .route("/oauth/revoke", post(token::revoke))
        .route("/oauth/register", post(client::register))
        .with_state(Arc::new(server))
}

/// Bytes that nobody can guess, as text.
fn random() -> Option<String> {
    use base64::Engine as _;
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

/// SHA-256 as PKCE writes it.
fn hashed(text: &str) -> String {
    use base64::Engine as _;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

#[cfg(test)]
mod tests {
    use usher_model::change::Role;

    use super::{hashed, role_of};

    #[test]
    fn scopes_are_roles_of_tokens() {
        assert_eq!(role_of(None), Ok(Role::Chat));
        assert_eq!(role_of(Some("viewer")), Ok(Role::Viewer));
        assert_eq!(role_of(Some("viewer  chat")), Ok(Role::Chat));
        assert_eq!(role_of(Some("viewer admin")), Err("admin".to_owned()));
    }

    #[test]
    fn a_challenge_is_made_as_the_rfc_makes_it() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(hashed(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
