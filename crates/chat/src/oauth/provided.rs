//! The way through the provider that people log in to the console by, for those who have no password here: the yes is said on the page first, then the
//! provider says who it was, and the code is given to the program behind that.
//!
//! What was asked and agreed to goes along sealed in two cookies of the browser that said yes, bound to this one login, for ten minutes. They are sent
//! where the provider sends the browser back, which another site's page may do too: without both cookies and the state that fits them it gains nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use usher_admin::oidc::{CameBack, Oidc};
use usher_admin::service::GrantedBy;
use usher_model::change::Role;

use super::authorize::{Asked, cookie_of, sent};
use super::form::Form;
use super::{Server, page};

/// What a request on its way through the provider is sealed for.
const PURPOSE: &str = "oauth-provided";
/// Where the provider sends browsers back to.
pub(super) const BACK: &str = "/oauth/back";
/// The cookies: what the login began with, and what was agreed to.
const LOGIN: &str = "usher_consent_login";
const AGREED: &str = "usher_consent_agreed";
/// Bytes that a browser keeps of one cookie, its name and attributes counted.
const MOST_COOKIE: usize = 4000;

impl Server {
    /// Sends a person who said yes to the provider.
    pub(super) async fn leave(&self, oidc: &Oidc, asked: Asked, role: Role) -> Response {
        let refused = |status, why: &str| page::refused(status, why);
        let away = match oidc.begin_beside(&self.service, format!("{}{BACK}", asked.issuer)).await {
            Ok(away) => away,
            Err(error) => return refused(StatusCode::BAD_GATEWAY, &error.to_string()),
        };
        let is_secure = asked.issuer.starts_with("https://");
        let asked = Asked { role: role.min(asked.role), ..asked };
        let Some(agreed) = self.sealed(PURPOSE, &asked, &away.state) else {
            return refused(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request can't be sealed; look at the log of Usher",
            );
        };
        let mut response = page::leaving(oidc.called(), &away.location);
        for (name, value) in [(LOGIN, &away.sealed), (AGREED, &agreed)] {
            let line = line(name, value, Oidc::LASTS.as_secs(), is_secure);
            let line = Some(line).filter(|line| line.len() <= MOST_COOKIE);
            let Some(line) = line.and_then(|line| HeaderValue::from_str(&line).ok()) else {
                return refused(
                    StatusCode::BAD_REQUEST,
                    "what the program asks for is too long to be kept by the browser meanwhile: its state is the longest part; sign in by a password",
                );
            };
            response.headers_mut().append(SET_COOKIE, line);
        }
        response
    }
}

/// `GET /oauth/back`: the person comes back from the provider.
pub(super) async fn back(State(server): State<Arc<Server>>, request: Request) -> Response {
    let Some(oidc) = server.oidc.clone() else {
        return page::refused(StatusCode::BAD_REQUEST, "no provider is set up that one could log in with");
    };
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let peer: IpAddr = peer.unwrap_or_else(|| std::net::Ipv4Addr::UNSPECIFIED.into());
    let headers = request.headers();
    let issuer = server.addresses.of(headers);
    let mut response = match ended(&server, &oidc, headers, &issuer, peer, request.uri().query()).await {
        Ok((asked, code)) => sent(&asked.redirect, &[("code", &code)], asked.state.as_deref(), &asked.issuer),
        Err((status, why)) => page::refused(status, &why),
    };
    // Each is good for one way back.
    for name in [LOGIN, AGREED] {
        if let Ok(line) = HeaderValue::from_str(&line(name, "", 0, issuer.starts_with("https://"))) {
            response.headers_mut().append(SET_COOKIE, line);
        }
    }
    response
}

async fn ended(
    server: &Server,
    oidc: &Oidc,
    headers: &HeaderMap,
    issuer: &str,
    peer: IpAddr,
    query: Option<&str>,
) -> Result<(Asked, String), (StatusCode, String)> {
    let no = |status: StatusCode, why: &str| (status, why.to_owned());
    if let Some(secs) = server.guesses.held(peer) {
        let why = format!("too many wrong log-ins came from your address; try again in {secs} seconds");
        return Err((StatusCode::TOO_MANY_REQUESTS, why));
    }
    let form = Form::read(query.unwrap_or_default()).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
    let text = |name: &str| form.get(name).map(str::to_owned);
    let state = text("state").unwrap_or_default();
    let asked = cookie_of(headers, AGREED).and_then(|sealed| server.opened(PURPOSE, sealed, &state));
    let (Some(asked), Some(login)) = (asked, cookie_of(headers, LOGIN)) else {
        server.guesses.wrong(peer);
        return Err(no(
            StatusCode::BAD_REQUEST,
            "this browser began no such log-in, or took more than 10 minutes for it",
        ));
    };
    if asked.issuer != issuer {
        return Err(no(StatusCode::BAD_REQUEST, "it was begun at another address of this gateway"));
    }
    let back = CameBack {
        state,
        code: text("code"),
        iss: text("iss"),
        error: text("error"),
        error_description: text("error_description"),
    };
    let who = oidc.end_beside(&server.service, login, back).await.map_err(|error| {
        tracing::warn!(%error, "a log-in by the provider was refused at the page that lets programs in");
        if error.is_guess {
            server.guesses.wrong(peer);
        }
        (StatusCode::FORBIDDEN, error.to_string())
    })?;
    let until = SystemTime::now() + oidc.believed();
    let until = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let by = GrantedBy::Provider { until_unix_ms: u64::try_from(until).unwrap_or(u64::MAX) };
    let yes = asked.agreed(who, asked.role, by);
    tracing::info!(user = %yes.user.name, client = %yes.client_name, role = %yes.role, "somebody whom the provider sent let a program in");
    match server.codes.give(yes) {
        Some(code) => Ok((asked, code)),
        None => Err(no(StatusCode::INTERNAL_SERVER_ERROR, "the system gives no random numbers")),
    }
}

/// A cookie's line. Lax, because the provider's page is what sends the browser back.
fn line(name: &str, value: &str, secs: u64, is_secure: bool) -> String {
    let (prefix, secure) = if is_secure { ("__Secure-", "; Secure") } else { ("", "") };
    format!("{prefix}{name}={value}; Path={BACK}; Max-Age={secs}; HttpOnly; SameSite=Lax{secure}")
}
