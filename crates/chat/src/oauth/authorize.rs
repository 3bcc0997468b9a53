//! The authorization endpoint: looks at what a client asks, asks the person, and sends the answer back through the browser (RFC 6749, section 4.1; RFC 7636;
//! RFC 8707; RFC 9207).
//!
//! The person shows name and password with each yes, so that there is no session which a foreign page could use. Beyond that the form belongs to the
//! browser that was asked: what it brings back is sealed, bound to a cookie, and ten minutes old at most.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{ConnectInfo, RawQuery, Request, State};
use axum::http::header::{CACHE_CONTROL, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use usher_admin::keys::Guess;
use usher_admin::oidc::Oidc;
use usher_admin::service::GrantedBy;
use usher_model::change::{Door, Principal, Role};
use usher_model::secret::Secret;

use super::client::Client;
use super::codes::Yes;
use super::form::Form;
use super::page::{self, Question};
use super::{Server, hashed, random, redirect, role_of};

/// What a request is sealed for.
const PURPOSE: &str = "oauth-request";
/// How long a person may take.
const THINKING: Duration = Duration::from_secs(10 * 60);
/// The cookie that binds a form to the browser it was shown in.
const COOKIE_NAME: &str = "usher_consent";
/// Characters of a state.
const LONGEST_STATE: usize = 2_000;

/// A request that was found good.
pub(super) struct Asked {
    pub(super) client: Client,
    pub(super) redirect: String,
    pub(super) state: Option<String>,
    pub(super) challenge: String,
    pub(super) role: Role,
    pub(super) audience: String,
    pub(super) issuer: String,
}

impl Asked {
    /// What this person says yes to: no more than was asked for, and no more than they are. `most` is what they chose.
    pub(super) fn agreed(&self, user: Principal, most: Role, by: GrantedBy) -> Yes {
        Yes {
            client: self.client.id.clone(),
            client_name: self.client.name.clone(),
            redirect: self.redirect.clone(),
            challenge: self.challenge.clone(),
            audience: self.audience.clone(),
            role: most.min(self.role).min(user.role),
            user,
            by,
        }
    }
}

/// Why a request isn't good.
enum Wrong {
    /// The client can't be told, because it isn't known who it is or where: the person is.
    Shown(String),
    /// The client is told.
    Sent { redirect: String, state: Option<String>, code: &'static str, why: String },
}

/// `GET /oauth/authorize`.
pub(super) async fn ask(
    State(server): State<Arc<Server>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let issuer = server.addresses.of(&headers);
    let asked = match server.asked(&query.unwrap_or_default(), issuer.clone()).await {
        Ok(asked) => asked,
        Err(Wrong::Shown(why)) => return page::refused(StatusCode::BAD_REQUEST, &why),
        Err(Wrong::Sent { redirect, state, code, why }) => {
            // Anybody may register any address of the web, and nobody has said yes yet: a browser isn't sent there on the client's word alone.
            if redirect.starts_with("https://") {
                return page::refused(StatusCode::BAD_REQUEST, &format!("{code}: {why}"));
            }
            return sent(
                &redirect,
                &[("error", code), ("error_description", &why)],
                state.as_deref(),
                &issuer,
            );
        }
    };
    let Some(nonce) = cookie(&headers).map(str::to_owned).or_else(random) else {
        return page::refused(StatusCode::INTERNAL_SERVER_ERROR, "the system gives no random numbers");
    };
    let Some(sealed) = server.sealed(PURPOSE, &asked, &nonce) else {
        return page::refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the request can't be sealed; look at the log of Usher",
        );
    };
    let question = Question {
        client: &asked.client,
        redirect: &asked.redirect,
        role: asked.role,
        sealed: &sealed,
        provider: server.oidc.as_deref().map(Oidc::called),
        wrong: None,
    };
    let mut response = page::question(&question);
    let (prefix, secure) = if issuer.starts_with("https://") { ("__Secure-", "; Secure") } else { ("", "") };
    let line = format!(
        "{prefix}{COOKIE_NAME}={nonce}; Path=/oauth/authorize; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        THINKING.as_secs()
    );
    if let Ok(line) = HeaderValue::from_str(&line) {
        response.headers_mut().insert(SET_COOKIE, line);
    }
    response
}

/// `POST /oauth/authorize`: the form as the person sent it.
pub(super) async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let headers = request.headers().clone();
    let issuer = server.addresses.of(&headers);
    let refused = |why: &str| page::refused(StatusCode::BAD_REQUEST, why);
    if !is_own_page(&headers) {
        return page::refused(StatusCode::FORBIDDEN, "the form was sent by a page of somebody else's");
    }
    let Ok(request) = crate::guard::whole(request).await else { return refused("the form did not arrive") };
    let body: Bytes = request.into_body();
    let Ok(form) = Form::read(&String::from_utf8_lossy(&body)) else {
        return refused("the form can't be read");
    };
    let opened = form
        .get("request")
        .zip(cookie(&headers))
        .and_then(|(sealed, nonce)| server.opened(PURPOSE, sealed, nonce));
    let Some(asked) = opened.filter(|asked| asked.issuer == issuer) else {
        return refused("this form is too old, or was not shown in this browser");
    };
    let state = asked.state.as_deref();
    let wanted = if form.get("role") == Some("chat") { Role::Chat } else { Role::Viewer };
    match (form.get("answer"), server.oidc.clone()) {
        (Some("allow"), _) => {}
        (Some("provider"), Some(oidc)) => return server.leave(&oidc, asked, wanted).await,
        (Some("deny"), _) => {
            let error = [("error", "access_denied"), ("error_description", "the person said no")];
            return sent(&asked.redirect, &error, state, &issuer);
        }
        _ => return refused("the form has no answer"),
    }
    let again = |wrong: &str| {
        let sealed = form.get("request").unwrap_or_default();
        page::question(&Question {
            client: &asked.client,
            redirect: &asked.redirect,
            role: asked.role,
            sealed,
            provider: server.oidc.as_deref().map(Oidc::called),
            wrong: Some(wrong),
        })
    };
    // Without an address, as in tests of the router alone, all count as one.
    let peer = peer.unwrap_or_else(|| std::net::Ipv4Addr::UNSPECIFIED.into());
    let (Some(user), Some(password)) = (form.get("user"), form.get("password")) else {
        return again("give the name and the password of a user of the console");
    };
    if let Some(secs) = server.passwords.held(peer, user) {
        return again(&format!(
            "too many wrong passwords for this name came from your address; try again in {secs} seconds"
        ));
    }
    // Before it is looked at, which takes long: many at the same moment are many guesses.
    let guess = server.passwords.wrong(peer, user);
    let found = server.service.check_user(user, &Secret::new(password.to_owned()), Door::Console).await;
    let known = found.and_then(|user| Some((server.service.user_changed(&user.name)?, user)));
    let Some((changed_unix_ms, user)) = known else {
        if matches!(guess, Guess::Burst { .. }) {
            tracing::warn!(%peer, "many wrong passwords came to the page that lets programs in");
        }
        return again("no user has this name and this password");
    };
    server.passwords.right(peer, &user.name);
    let yes = asked.agreed(user, wanted, GrantedBy::Password { changed_unix_ms });
    tracing::info!(user = %yes.user.name, client = %yes.client_name, role = %yes.role, "a user let a program in");
    match server.codes.give(yes) {
        Some(code) => sent(&asked.redirect, &[("code", &code)], state, &issuer),
        None => sent(&asked.redirect, &[("error", "server_error")], state, &issuer),
    }
}

impl Server {
    async fn asked(&self, query: &str, issuer: String) -> Result<Asked, Wrong> {
        let form = Form::read(query).map_err(Wrong::Shown)?;
        let id = form.need("client_id").map_err(Wrong::Shown)?;
        let client = self.client(id).await.map_err(Wrong::Shown)?;
        let redirect = match (form.get("redirect_uri"), client.redirects.as_slice()) {
            (Some(redirect), _) => redirect.to_owned(),
            (None, [only]) => only.clone(),
            (None, _) => return Err(Wrong::Shown("redirect_uri is missing".to_owned())),
        };
        if !redirect::is_named(&redirect, &client.redirects) || redirect::check(&redirect).is_err() {
            return Err(Wrong::Shown(format!(
                "{redirect} is none of the addresses that the client named for its answers"
            )));
        }
        // From here on the client can be told.
        let state = form.get("state").map(str::to_owned);
        let short = state.clone().filter(|state| state.len() <= LONGEST_STATE);
        let sent = |code: &'static str, why: &str| Wrong::Sent {
            redirect: redirect.clone(),
            state: short.clone(),
            code,
            why: why.to_owned(),
        };
        if state.is_some() && short.is_none() {
            return Err(sent("invalid_request", "state is longer than 2000 bytes"));
        }
        if form.get("response_type") != Some("code") {
            return Err(sent("unsupported_response_type", "response_type has to be code"));
        }
        if form.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(sent("invalid_request", "response_mode has to be query"));
        }
        let challenge = form.get("code_challenge").unwrap_or_default();
        let is_challenge = challenge.len() == 43
            && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if form.get("code_challenge_method") != Some("S256") || !is_challenge {
            return Err(sent(
                "invalid_request",
                "PKCE is required: code_challenge, with code_challenge_method S256",
            ));
        }
        let role = role_of(form.get("scope")).map_err(|unknown| {
            sent("invalid_scope", &format!("there is no scope {unknown}: there are viewer and chat"))
        })?;
        let audience = match form.get("resource") {
            Some(resource) => self
                .addresses
                .audience(resource)
                .ok_or_else(|| sent("invalid_target", "resource is none of this gateway's addresses"))?,
            None => issuer.clone(),
        };
        let challenge = challenge.to_owned();
        Ok(Asked { client, redirect, state, challenge, role, audience, issuer })
    }

    /// A request as a browser keeps it; `nonce` is what only that browser has beside.
    pub(super) fn sealed(&self, purpose: &str, asked: &Asked, nonce: &str) -> Option<String> {
        let ends = now()?.saturating_add(THINKING.as_secs());
        let told = json!({
            "id": asked.client.id, "name": asked.client.name, "by": asked.client.vouched_by, "redirect": asked.redirect, "state": asked.state,
            "challenge": asked.challenge, "role": super::scope_of(asked.role), "audience": asked.audience, "issuer": asked.issuer,
            "ends": ends, "nonce": hashed(nonce),
        });
        self.service.seal_note(purpose, &told.to_string())
    }

    /// What a browser kept; `None` where it is another's, or too old.
    pub(super) fn opened(&self, purpose: &str, sealed: &str, nonce: &str) -> Option<Asked> {
        let told: Value = serde_json::from_str(&self.service.open_note(purpose, sealed)?).ok()?;
        let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_good = told.get("ends").and_then(Value::as_u64)? > now()? && text("nonce")? == hashed(nonce);
        let client =
            Client { id: text("id")?, name: text("name")?, redirects: Vec::new(), vouched_by: text("by") };
        is_good.then_some(())?;
        Some(Asked {
            client,
            redirect: text("redirect")?,
            state: text("state"),
            challenge: text("challenge")?,
            role: role_of(Some(&text("role")?)).ok()?,
            audience: text("audience")?,
            issuer: text("issuer")?,
        })
    }
}

/// Whether a form was sent by a page of this address. Old browsers name no origin; the cookie, which no other site's page can send, stands for them.
fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let host = text(HOST.as_str()).unwrap_or_default();
    let own = |origin: &str| {
        origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    };
    text(ORIGIN.as_str()).is_none_or(own)
        && text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let is_nonce = |value: &&str| {
        value.len() == 43
            && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    cookie_of(headers, COOKIE_NAME).filter(is_nonce)
}

/// The value of a cookie, whether it travels over TLS alone or not.
pub(super) fn cookie_of<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let found = pairs.find(|(name, _)| name.trim_start_matches("__Secure-") == wanted);
    found.map(|(_, value)| value)
}

/// Sends a browser back to the program that it came from.
pub(super) fn sent(redirect: &str, answer: &[(&str, &str)], state: Option<&str>, issuer: &str) -> Response {
    let mut all = answer.to_vec();
    all.extend(state.map(|state| ("state", state)));
    all.push(("iss", issuer));
    match HeaderValue::from_str(&redirect::with(redirect, &all)) {
        Ok(location) => (
            StatusCode::SEE_OTHER,
            [(LOCATION, location), (CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        )
            .into_response(),
        Err(_) => page::refused(StatusCode::BAD_REQUEST, "the answer can't be sent back"),
    }
}

fn now() -> Option<u64> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}
