//! `openid-connect` lets in who an OpenID Connect provider vouches for: by a token that the client brings, or by a login in the browser.
//!
//! A token is verified by the provider's keys or judged by the provider itself; whatever can't be verified lets nobody in, a provider that is away
//! included. A browser's session lies encrypted in its cookie or in a Redis, bound to provider and client. What the upstream reads of the user comes from here alone.
//!
//! Example: `{"client_id": "shop", "discovery": "http://127.0.0.1:8080/realms/shop/.well-known/openid-configuration", "bearer_only": true, "use_jwks": true}`
//! Example: `{"client_id": "shop", "client_secret": "a secret of the client", "discovery": "https://login.example/.well-known/openid-configuration", "redirect_uri": "/callback", "use_pkce": true, "session": {"secret": "at least sixteen characters"}}`

mod assertion;
mod bearer;
mod config;
mod cookie;
mod kept;
mod login;
mod provider;
mod session;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use moka::sync::Cache;
use serde_json::{Value, json};
use usher_http1::head::Head;
use usher_model::jose::algorithm::Algorithm;
use usher_model::jose::provider::Metadata;
use usher_model::jose::verifier::Verifier;
use usher_model::reference::is_reference;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::cookies::remove_cookies;
use crate::external_user;
use crate::form;
use crate::request_validation::rules::Rules;
use crate::spoofed::drop_copies;
use crate::stranger::quoted;
use assertion::Assertions;
use bearer::{Brought, Claims, Judged, brought};
use config::{Config, Storage, UnauthAction};
use cookie::Cookies;
use kept::Kept;
use provider::{Line, Provider, Trouble};
use session::Session;

/// `openid-connect`.
pub(crate) static PLUGIN: Spec = Spec::of::<OpenidConnect>();

/// Headers that the upstream takes from here alone.
const VOUCHED: [&str; 5] =
    ["X-Access-Token", "X-Userinfo", "X-ID-Token", "X-Raw-ID-Token", "X-Refresh-Token"];
/// How many judgements, ended sessions and used states are remembered.
const MAX_REMEMBERED: u64 = 100_000;

struct OpenidConnect {
    config: Config,
    provider: Arc<Provider>,
    public_key: Option<Verifier>,
    /// A public key is needed and isn't known here: nobody is let in by it.
    lacks_key: bool,
    cookies: Option<Cookies>,
    /// Where sessions lie, unless they do in the browser.
    kept: Option<Kept>,
    assertions: Assertions,
    claim_schema: Option<Rules>,
    judged: Arc<Cache<[u8; 32], Arc<Judged>>>,
    /// States of logins that were ended.
    used: Arc<Cache<String, ()>>,
    /// Sessions that were ended by their users.
    ended: Arc<Cache<String, ()>>,
    challenge: String,
}

/// The session cookie that the answer brings.
#[derive(Default)]
struct Renewed(Option<Head>);

impl Plugin for OpenidConnect {
    const NAME: &'static str = "openid-connect";
    const PRIORITY: i32 = 2599;
    const PHASES: Phases<Self> = Phases {
        rewrite: Some(Hook::Later(Self::authenticate)),
        header_filter: Some(Self::bring_cookie),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        config.check(env)?;
        let pem = config.public_key.as_deref().filter(|pem| !is_reference(pem));
        let public_key =
            pem.map(|pem| public_key(pem, config.token_signing_alg_values_expected)).transpose()?;
        let context = format!("{}\n{}", config.discovery, config.client_id);
        let cookies =
            config.session.as_ref().map(|session| Cookies::new(session, context.clone())).transpose()?;
        let claim_schema = config.claim_schema.clone().map(|schema| Rules::new("claim_schema", schema));
        let line = Line {
            verify: config.ssl_verify.0,
            timeout: Duration::from_secs(config.timeout.min(600)),
            allow_plain: config.allow_plain_http
                || env.process().compat().has(usher_model::compat::Behaviour::PlainCredentials),
        };
        let keep = Duration::from_secs(config.jwk_expires_in.min(31_536_000));
        let key = format!("openid-connect {line:?} {keep:?} {}", config.discovery);
        let provider = env.keep(&key, || Provider::new(&config.discovery, line, keep));
        let remembered = |what: &str, seconds: u64| {
            env.keep(&format!("openid-connect {what}\n{context}"), || {
                let time = Duration::from_secs(seconds.clamp(600, 31_536_000));
                Cache::builder().max_capacity(MAX_REMEMBERED).time_to_live(time).build()
            })
        };
        let lasts = config.session.as_ref().map_or(0, |session| match session.lifetime() {
            0 => 31_536_000,
            seconds => seconds,
        });
        let kept = config.session.as_ref().filter(|session| session.storage == Storage::Redis);
        let kept = kept.map(|session| Kept::new(&session.redis.clone().unwrap_or_default())).transpose()?;
        Ok(Self {
            provider,
            lacks_key: config.public_key.is_some() && public_key.is_none(),
            public_key,
            cookies,
            kept,
            assertions: Assertions::new(&config)?,
            claim_schema: claim_schema.transpose()?,
            judged: env.keep(&format!("openid-connect judged\n{}", env.own_key()), || {
                Cache::builder().max_capacity(MAX_REMEMBERED).time_to_live(Duration::from_secs(86400)).build()
            }),
            used: remembered("used", 600),
            ended: remembered("ended", lasts),
            challenge: format!("Bearer realm=\"{}\"", quoted(&config.realm)),
            config,
        })
    }

    fn passed_over(&self, exchange: &mut Exchange) {
        drop_copies(&mut exchange.request.head, VOUCHED.into_iter());
    }
}

/// The key for the algorithm that is expected, or for the usual one of its kind.
fn public_key(pem: &str, expected: Option<Algorithm>) -> Result<Verifier, BuildError> {
    let refused =
        |reason: String| BuildError::new(format!("property \"public_key\" validation failed: {reason}"));
    if let Some(expected) = expected {
        return Verifier::pem(expected, pem).map_err(refused);
    }
    let usual = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::Es512, Algorithm::EdDsa];
    let mut found = usual.into_iter().map(|algorithm| Verifier::pem(algorithm, pem));
    let first = found.next().unwrap_or_else(|| Err("it can't be read".to_owned()));
    first.or_else(|error| found.find_map(Result::ok).ok_or(error)).map_err(refused)
}

impl OpenidConnect {
    fn authenticate<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let token = brought(&exchange.request.head);
            drop_copies(&mut exchange.request.head, VOUCHED.into_iter());
            let judges = self.config.bearer_only
                || self.config.introspection_endpoint.is_some()
                || self.config.public_key.is_some()
                || self.config.use_jwks;
            match token {
                Brought::Token(token) if judges => self.take_bearer(exchange, &token).await,
                Brought::Malformed if judges => Reply::new(400).into(),
                _ if self.config.bearer_only => {
                    Reply::new(401).with("WWW-Authenticate", &self.challenge).into()
                }
                _ => self.take_session(exchange).await,
            }
        }
        .boxed_local()
    }

    async fn take_bearer(&self, exchange: &mut Exchange, token: &str) -> Flow {
        let worker = std::rc::Rc::clone(exchange.worker());
        let judged = if self.lacks_key {
            Err("the provider's key is not known".to_owned())
        } else {
            self.judge_bearer(exchange, &worker, token).await
        };
        let claims = match judged {
            Ok(claims) => claims,
            Err(reason) => return self.unauthorized(Some(&reason)).into(),
        };
        if let Some(missing) = self.missing_scopes(&claims) {
            return Reply::json(403, &json!({ "error": missing })).into();
        }
        if let Some(wrong) = self.wrong_audience(&claims) {
            return Reply::json(403, &json!({ "error": wrong })).into();
        }
        if let Some(schema) = &self.claim_schema
            && schema.check(&Value::Object((*claims).clone())).is_err()
        {
            return self.unauthorized(Some("the token's claims do not fit")).into();
        }
        self.tell_upstream_of_claims(exchange, token, &claims);
        Flow::Continue
    }

    fn tell_upstream_of_claims(&self, exchange: &mut Exchange, token: &str, claims: &Claims) {
        let user = Value::Object(claims.clone());
        self.give_access_token(exchange, token);
        if self.config.set_userinfo_header {
            give(&mut exchange.request.head, "X-Userinfo", STANDARD.encode(user.to_string()));
        }
        external_user::keep(exchange, &user);
    }

    fn give_access_token(&self, exchange: &mut Exchange, token: &str) {
        if !self.config.set_access_token_header {
            return;
        }
        let head = &mut exchange.request.head;
        if self.config.access_token_in_authorization_header {
            give(head, "Authorization", format!("Bearer {token}"));
        } else {
            give(head, "X-Access-Token", token);
        }
    }

    /// A request that brings no token: its session, a login, or neither.
    async fn take_session(&self, exchange: &mut Exchange) -> Flow {
        let Some(cookies) = &self.cookies else { return self.unauthorized(None).into() };
        if self.is_callback(exchange) {
            return self.end(exchange, cookies).await.unwrap_or_else(failed).into();
        }
        let session = match self.session(exchange, cookies).await {
            Ok(session) => session,
            Err(trouble) => return failed(trouble).into(),
        };
        if exchange.request.original_path() == self.config.logout_path {
            return self.log_out(exchange, cookies, session).await.into();
        }
        if let Some(session) = session
            && let Some(session) = self.keep_alive(exchange, cookies, session).await
        {
            self.tell_upstream_of_session(exchange, &session);
            remove_cookies(&mut exchange.request.head, |name| cookies.is_own(name));
            return Flow::Continue;
        }
        match self.config.unauth_action {
            UnauthAction::Pass => {
                remove_cookies(&mut exchange.request.head, |name| cookies.is_own(name));
                Flow::Continue
            }
            UnauthAction::Deny => Reply::new(401).into(),
            UnauthAction::Auth => self.begin(exchange, cookies).await.unwrap_or_else(failed).into(),
        }
    }

    /// The session that this request belongs to, while it is valid.
    ///
    /// # Errors
    /// Where sessions lie can't be asked: nobody is let in, and nobody is logged in anew.
    async fn session(&self, exchange: &Exchange, cookies: &Cookies) -> Result<Option<Session>, Trouble> {
        let (Some(cookie), Some(rules)) = (cookies.session_of(exchange), &self.config.session) else {
            return Ok(None);
        };
        let session: Option<Session> = match &self.kept {
            None => cookies.open("session", &cookie),
            Some(kept) => match cookies.open::<String>("session id", &cookie) {
                None => None,
                Some(id) => {
                    let sealed = kept.get(exchange, &id).await?;
                    let session = sealed.and_then(|sealed| cookies.open::<Session>("session", &sealed));
                    session.filter(|session| session.id == id)
                }
            },
        };
        let now = exchange.worker().unix_ms() / 1000;
        Ok(session.filter(|session| session.is_alive(rules, now) && !self.ended.contains_key(&session.id)))
    }

    /// Keeps a session where sessions lie, and gives the browser its cookie. `false` where it is too large for that.
    ///
    /// # Errors
    /// Where sessions lie can't be asked.
    async fn keep_session(
        &self,
        exchange: &Exchange,
        cookies: &Cookies,
        session: &Session,
        head: &mut Head,
    ) -> Result<bool, Trouble> {
        let Some(mut sealed) = cookies.seal("session", session) else { return Ok(false) };
        if let (Some(kept), Some(rules)) = (&self.kept, &self.config.session) {
            kept.put(exchange, rules, &session.id, sealed).await?;
            let Some(id) = cookies.seal("session id", &session.id) else { return Ok(false) };
            sealed = id;
        }
        Ok(cookies.set_session(exchange, head, &sealed, self.is_secure(exchange)))
    }

    /// The session with an access token that is valid; `None` where it ended.
    async fn keep_alive(
        &self,
        exchange: &mut Exchange,
        cookies: &Cookies,
        session: Session,
    ) -> Option<Session> {
        let rules = self.config.session.as_ref()?;
        let now = exchange.worker().unix_ms() / 1000;
        let mut session = session;
        let mut is_new = session.note(rules, now);
        if session.needs_tokens(now) && self.config.renew_access_token_on_expiry {
            let refresh_token = session.refresh_token.clone()?;
            let metadata = self.provider.metadata(exchange.worker()).await.ok()?;
            let form = [
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh_token.as_str()),
                ("scope", self.config.scope.as_str()),
            ];
            let tokens = match self.ask_for_tokens(exchange, &metadata, &form).await {
                Ok(tokens) => tokens,
                Err(trouble) => {
                    tracing::warn!(error = %trouble.0, "a session's access token could not be renewed");
                    return None;
                }
            };
            tokens.get("access_token").and_then(Value::as_str)?;
            session = session.with_tokens(&self.config, now, &tokens);
            is_new = true;
        }
        if is_new {
            let mut head = Head::empty();
            match self.keep_session(exchange, cookies, &session, &mut head).await {
                Ok(true) => exchange.slot::<Self, Renewed>(self).0 = Some(head),
                Ok(false) => {}
                Err(trouble) => {
                    tracing::warn!(error = %trouble.0, "a session could not be kept as it is now");
                }
            }
        }
        Some(session)
    }

    fn tell_upstream_of_session(&self, exchange: &mut Exchange, session: &Session) {
        if let Some(token) = &session.access_token {
            self.give_access_token(exchange, token);
        }
        let claims = session.id_claims();
        let head = &mut exchange.request.head;
        if self.config.set_id_token_header
            && let Some(claims) = &claims
        {
            give(head, "X-ID-Token", STANDARD.encode(claims.to_string()));
        }
        if self.config.set_raw_id_token_header {
            give(head, "X-Raw-ID-Token", &session.id_token);
        }
        if self.config.set_userinfo_header
            && let Some(user) = &session.user
        {
            give(head, "X-Userinfo", STANDARD.encode(user.to_string()));
        }
        if self.config.set_refresh_token_header
            && let Some(token) = &session.refresh_token
        {
            give(head, "X-Refresh-Token", token);
        }
        if let Some(user) = session.user.as_ref().or(claims.as_ref()) {
            external_user::keep(exchange, user);
        }
    }

    /// Whether what is known of the user fits `claim_schema`.
    fn check_claims(&self, session: &Session) -> Result<(), String> {
        let Some(schema) = &self.claim_schema else { return Ok(()) };
        let mut known = json!({ "access_token": session.access_token, "id_token": session.id_claims() });
        if let (Some(members), Some(user)) = (known.as_object_mut(), &session.user) {
            members.insert("user".to_owned(), user.clone());
        }
        schema.check(&known).map_err(|_| "what is known of the user does not fit claim_schema".to_owned())
    }

    /// Ends the session here and at the provider. Where that can't be asked, the session ends here all the same, and the answer is 503.
    async fn log_out(&self, exchange: &Exchange, cookies: &Cookies, session: Option<Session>) -> Reply {
        let mut reply = match self.provider.metadata(exchange.worker()).await {
            Ok(metadata) => self.log_out_there(exchange, &metadata, session.as_ref()).await,
            Err(trouble) => {
                tracing::error!(error = %trouble.0, "the provider could not be told of a logout");
                Reply::new(503)
            }
        };
        reply = reply.with("Cache-Control", "no-store");
        if let Some(session) = session {
            if let Some(kept) = &self.kept
                && let Err(trouble) = kept.end(exchange, &session.id).await
            {
                tracing::warn!(error = %trouble.0, "a session could not be ended for other gateways");
            }
            // A copy of the cookie is no good any more either.
            self.ended.insert(session.id, ());
        }
        cookies.end_session(exchange, &mut reply.head, self.is_secure(exchange));
        reply
    }

    /// Ends a session's tokens at the provider where that is wanted, and leads the browser to where its session there ends.
    async fn log_out_there(
        &self,
        exchange: &Exchange,
        metadata: &Metadata,
        session: Option<&Session>,
    ) -> Reply {
        if let (Some(session), true) = (session, self.config.revoke_tokens_on_logout) {
            self.revoke(exchange, metadata, session).await;
        }
        let after = self.config.post_logout_redirect_uri.as_deref();
        let location = match &metadata.end_session_endpoint {
            Some(endpoint) => {
                let mut arguments = vec![("client_id", self.config.client_id.as_str())];
                arguments.extend(session.map(|session| ("id_token_hint", session.id_token.as_str())));
                arguments.extend(after.map(|uri| ("post_logout_redirect_uri", uri)));
                let joint = if endpoint.contains('?') { '&' } else { '?' };
                Some(format!("{endpoint}{joint}{}", form::encode(arguments)))
            }
            None => after.map(str::to_owned),
        };
        match location {
            Some(location) => Reply::new(302).with("Location", location),
            None => Reply::text(200, "text/html", "<html><body>Logged Out</body></html>"),
        }
    }

    fn unauthorized(&self, reason: Option<&str>) -> Reply {
        let challenge = match reason {
            None => self.challenge.clone(),
            Some(reason) => {
                format!(
                    "{}, error=\"invalid_token\", error_description=\"{}\"",
                    self.challenge,
                    quoted(reason)
                )
            }
        };
        Reply::new(401).with("WWW-Authenticate", challenge)
    }

    fn bring_cookie(&self, exchange: &mut Exchange) -> Flow {
        let renewed = exchange.existing_slot::<Self, Renewed>(self).and_then(|renewed| renewed.0.take());
        if let Some(head) = renewed
            && let Err(error) = exchange.answer.append_all(&head)
        {
            tracing::warn!(%error, "left out a session cookie");
        }
        Flow::Continue
    }
}

fn give(head: &mut Head, name: &str, value: impl AsRef<[u8]>) {
    if let Err(error) = head.set(name, value) {
        tracing::warn!(%error, "left out a header that can't be sent");
    }
}

fn failed(trouble: Trouble) -> Reply {
    tracing::error!(error = %trouble.0, "a login failed");
    Reply::new(500)
}

#[cfg(test)]
mod tests;
