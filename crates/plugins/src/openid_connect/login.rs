//! The login in a browser: away to the provider, back with a code, and the code for tokens (OpenID Connect Core 1.0, section 3.1).
//!
//! What a login began with waits in an encrypted cookie of the browser that began it: nobody can end a login in another's browser. Each state is
//! taken once.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use usher_http1::head::Head;
use usher_model::jose::provider::{Expected, Metadata};
use usher_model::jose::token::{Token, encode};
use usher_pipeline::exchange::Exchange;
use usher_pipeline::reply::Reply;

use super::OpenidConnect;
use super::config::AuthMethod;
use super::cookie::{Cookies, LOGIN};
use super::provider::Trouble;
use super::session::Session;
use crate::alike::alike;
use crate::form;

/// How long a login may take, in seconds.
const LOGIN_SECONDS: u64 = 600;
/// How many logins of one browser may be under way; the next takes the place of an older one.
const SLOTS: u8 = 8;
/// How often a browser begins again at once where the provider says that it is busy, and that in vain.
const MOST_RESTARTS: u8 = 3;
/// What stands behind the requested path where no `redirect_uri` is given.
pub(super) const REDIRECT_SUFFIX: &str = "/.apisix/redirect";

/// What a login began with.
#[derive(Serialize, Deserialize)]
struct Begun {
    state: String,
    nonce: String,
    verifier: Option<String>,
    target: String,
    redirect_uri: String,
    made: u64,
    /// How often the provider was busy before.
    #[serde(default)]
    restarts: u8,
}

impl OpenidConnect {
    /// Sends the browser to the provider.
    ///
    /// # Errors
    /// The provider can't be asked.
    pub(super) async fn begin(&self, exchange: &Exchange, cookies: &Cookies) -> Result<Reply, Trouble> {
        let metadata = self.provider.metadata(exchange.worker()).await?;
        let no_endpoint = || Trouble("the provider has no authorization_endpoint".to_owned());
        let endpoint = metadata.authorization_endpoint.as_deref().ok_or_else(no_endpoint)?;
        let redirect_uri = self.redirect_uri(exchange);
        let request = &exchange.request;
        let target = match request.original_query() {
            Some(query) => format!("{}?{query}", request.original_path()),
            None => request.original_path().to_owned(),
        };
        let random = || {
            let mut bytes = [0; 32];
            rand::fill(&mut bytes).map_err(|_| Trouble("no random bytes".to_owned()))?;
            Ok::<String, Trouble>(encode(bytes))
        };
        let begun = Begun {
            state: random()?,
            nonce: random()?,
            verifier: self.config.use_pkce.then(random).transpose()?,
            target: local(&target),
            redirect_uri,
            made: exchange.worker().unix_ms() / 1000,
            restarts: under_way(exchange, cookies).map(|begun| begun.restarts).max().unwrap_or_default(),
        };
        let challenge = begun.verifier.as_ref().map(|verifier| encode(digest(&SHA256, verifier.as_bytes())));
        let mut arguments = vec![
            ("response_type", "code"),
            ("client_id", &self.config.client_id),
            ("scope", &self.config.scope),
            ("redirect_uri", &begun.redirect_uri),
            ("state", &begun.state),
            ("nonce", &begun.nonce),
        ];
        if let Some(challenge) = &challenge {
            arguments.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
        }
        let more = self.config.authorization_params.iter().flatten();
        arguments.extend(more.map(|(name, value)| (name.as_str(), value.as_str())));
        let pushed;
        if self.config.par.enabled {
            pushed = self.push(exchange, &metadata, &arguments).await?;
            arguments = vec![("client_id", &self.config.client_id), ("request_uri", &pushed)];
        }
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        let location = format!("{endpoint}{joint}{}", form::encode(arguments));
        let mut reply = Reply::new(302).with("Location", location).with("Cache-Control", "no-store");
        self.keep_login(exchange, cookies, &begun, &mut reply.head)?;
        Ok(reply)
    }

    /// Has the browser keep what a login began with.
    fn keep_login(
        &self,
        exchange: &Exchange,
        cookies: &Cookies,
        begun: &Begun,
        head: &mut Head,
    ) -> Result<(), Trouble> {
        let sealed =
            cookies.seal("login", begun).ok_or_else(|| Trouble("no cookie could be made".to_owned()))?;
        let name = login_cookie(cookies, &begun.state);
        cookies.set(head, &name, &sealed, Some(LOGIN_SECONDS), self.is_secure(exchange));
        Ok(())
    }

    /// Whether this request is the provider's way back.
    pub(super) fn is_callback(&self, exchange: &Exchange) -> bool {
        let path = exchange.request.original_path();
        match &self.config.redirect_uri {
            None => path.ends_with(REDIRECT_SUFFIX),
            Some(uri) if uri.starts_with('/') => path == uri.split('?').next().unwrap_or_default(),
            Some(uri) => {
                let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
                let own = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
                path == own.split(['?', '#']).next().unwrap_or_default()
            }
        }
    }

    /// Ends a login: takes the code, and gives the browser its session. A state of no login under way leads a browser that wanted to go somewhere
    /// there, where a new login begins; whatever else doesn't fit is answered 500.
    ///
    /// # Errors
    /// The provider can't be asked.
    pub(super) async fn end(&self, exchange: &Exchange, cookies: &Cookies) -> Result<Reply, Trouble> {
        let refused = |reason: &'static str| Err(Trouble(format!("it was refused: {reason}")));
        let now = exchange.worker().unix_ms() / 1000;
        let query = exchange.request.original_query().unwrap_or_default();
        let given = |name: &str| form::value(query, name).filter(|value| !value.is_empty());
        let (Some(state), Some(code)) = (given("state"), given("code")) else {
            return match (given("state"), given("error").as_deref()) {
                (Some(state), Some("temporarily_unavailable")) => self.try_again(exchange, cookies, &state),
                _ => refused("the provider sent it back without state or code"),
            };
        };
        let Some(begun) = begun_with(exchange, cookies, &state) else {
            let target = self.wanted(exchange, cookies).await;
            return go_again(exchange, target, "this browser began no such login");
        };
        if now.saturating_sub(begun.made) > LOGIN_SECONDS {
            return go_again(exchange, Some(begun.target), "it took too long");
        }
        if !self.used.entry(begun.state.clone()).or_insert(()).is_fresh() {
            return go_again(exchange, Some(begun.target), "its state was used before");
        }
        let metadata = self.provider.metadata(exchange.worker()).await?;
        // RFC 9207: where the provider says who it is, that has to be the one that was asked.
        if form::value(query, "iss").is_some_and(|issuer| issuer != metadata.issuer) {
            return refused("it comes from another issuer");
        }
        let tokens = self.exchange_code(exchange, &metadata, &begun, &code).await?;
        let session = self.session_from(exchange, &metadata, &tokens, &begun).await.map_err(Trouble)?;
        if let Err(reason) = self.check_claims(&session) {
            tracing::warn!(reason, "a login was refused");
            return Ok(self.unauthorized(Some(&reason)));
        }
        let mut reply =
            Reply::new(302).with("Location", local(&begun.target)).with("Cache-Control", "no-store");
        let secure = self.is_secure(exchange);
        // What others say of a busy provider is no more true.
        for over in under_way(exchange, cookies).filter(|one| one.restarts > 0 || one.state == state) {
            cookies.set(&mut reply.head, &login_cookie(cookies, &over.state), "", Some(0), secure);
        }
        if !self.keep_session(exchange, cookies, &session, &mut reply.head).await? {
            return Err(Trouble("the provider's tokens are too large for a cookie".to_owned()));
        }
        Ok(reply)
    }

    /// Leads a browser whose login the provider was too busy for to where it wanted to go, where a new login begins; a few times.
    fn try_again(&self, exchange: &Exchange, cookies: &Cookies, state: &str) -> Result<Reply, Trouble> {
        let busy = "the provider is temporarily unavailable";
        let begun = begun_with(exchange, cookies, state).filter(|begun| begun.restarts < MOST_RESTARTS);
        let Some(mut begun) = begun else { return Err(Trouble(format!("it was refused: {busy}"))) };
        begun.restarts += 1;
        let mut reply = go_again(exchange, Some(begun.target.clone()), busy)?;
        self.keep_login(exchange, cookies, &begun, &mut reply.head)?;
        Ok(reply)
    }

    /// Where this browser last wanted to go, by a login of its that is under way or by its session.
    async fn wanted(&self, exchange: &Exchange, cookies: &Cookies) -> Option<String> {
        if let Some(begun) = under_way(exchange, cookies).max_by_key(|begun| begun.made) {
            return Some(begun.target);
        }
        let session = self.session(exchange, cookies).await.ok().flatten()?;
        Some(session.target)
    }

    async fn exchange_code(
        &self,
        exchange: &Exchange,
        metadata: &Metadata,
        begun: &Begun,
        code: &str,
    ) -> Result<Map<String, Value>, Trouble> {
        let mut form =
            vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", &begun.redirect_uri)];
        form.extend(begun.verifier.as_deref().map(|verifier| ("code_verifier", verifier)));
        self.ask_for_tokens(exchange, metadata, &form).await
    }

    /// Asks the provider for tokens.
    pub(super) async fn ask_for_tokens(
        &self,
        exchange: &Exchange,
        metadata: &Metadata,
        form: &[(&str, &str)],
    ) -> Result<Map<String, Value>, Trouble> {
        let no_endpoint = || Trouble("the provider has no token_endpoint".to_owned());
        let endpoint = metadata.token_endpoint.as_deref().ok_or_else(no_endpoint)?;
        self.post(exchange.worker(), endpoint, form, self.token_method(metadata)).await
    }

    /// How the gateway names itself where it gets tokens.
    fn token_method(&self, metadata: &Metadata) -> AuthMethod {
        self.config.token_endpoint_auth_method.unwrap_or_else(|| {
            if metadata.takes_secret_in_form() {
                AuthMethod::ClientSecretPost
            } else {
                AuthMethod::ClientSecretBasic
            }
        })
    }

    /// Leaves what a login asks for with the provider (RFC 9126); the name by which the browser takes it up.
    async fn push(
        &self,
        exchange: &Exchange,
        metadata: &Metadata,
        arguments: &[(&str, &str)],
    ) -> Result<String, Trouble> {
        let par = &self.config.par;
        let endpoint = par.endpoint.as_ref().or(metadata.pushed_authorization_request_endpoint.as_ref());
        let no_endpoint = || Trouble("the provider has no pushed_authorization_request_endpoint".to_owned());
        let endpoint = endpoint.ok_or_else(no_endpoint)?;
        let method = par.endpoint_auth_method.unwrap_or_else(|| self.token_method(metadata));
        // Whoever names the client by a form does so once.
        let names_itself = self.config.client_secret.is_some() && method == AuthMethod::ClientSecretBasic;
        let form: Vec<(&str, &str)> =
            arguments.iter().copied().filter(|(name, _)| names_itself || *name != "client_id").collect();
        let told = self.post(exchange.worker(), endpoint, &form, method).await?;
        let uri = told.get("request_uri").and_then(Value::as_str).filter(|uri| !uri.is_empty());
        uri.map(str::to_owned).ok_or_else(|| Trouble("the provider gave no request_uri".to_owned()))
    }

    /// Ends a session's tokens at the provider (RFC 7009). The session itself ends whatever comes of that.
    pub(super) async fn revoke(&self, exchange: &Exchange, metadata: &Metadata, session: &Session) {
        let Some(endpoint) = &metadata.revocation_endpoint else {
            return tracing::warn!("the provider ends no tokens: it has no revocation_endpoint");
        };
        let tokens = [("refresh_token", &session.refresh_token), ("access_token", &session.access_token)];
        for (hint, token) in tokens {
            let Some(token) = token else { continue };
            let form = [("token", token.as_str()), ("token_type_hint", hint)];
            let method = self.token_method(metadata);
            if let Err(trouble) = self.post(exchange.worker(), endpoint, &form, method).await {
                tracing::warn!(error = %trouble.0, hint, "a token could not be ended at the provider");
            }
        }
    }

    /// Makes a session of the provider's tokens, once the id token proved to be made for this client and this login.
    async fn session_from(
        &self,
        exchange: &Exchange,
        metadata: &Metadata,
        tokens: &Map<String, Value>,
        begun: &Begun,
    ) -> Result<Session, String> {
        let worker = exchange.worker();
        let text = |name: &str| tokens.get(name).and_then(Value::as_str).map(str::to_owned);
        let id_token = text("id_token").ok_or("the provider gave no id token")?;
        let token =
            Token::parse(&id_token).map_err(|reason| format!("the id token can't be read: {reason}"))?;
        self.check_signature(worker, &token).await?;
        let claims = token.claims();
        let nonce = &begun.nonce;
        let expected = Expected { issuer: &metadata.issuer, client_id: &self.config.client_id, nonce };
        let subject = expected.subject(claims)?.to_owned();
        self.check_times(worker, claims, true)?;
        let access_token = text("access_token");
        let user = self.user(exchange, metadata, access_token.as_deref(), &subject).await?;
        let now = worker.unix_ms() / 1000;
        let session = Session::begin(now, id_token.clone(), user, &begun.target);
        Ok(session.ok_or("no session could be made")?.with_tokens(&self.config, now, tokens))
    }

    /// What the provider says of the user, where the upstream is to know it.
    async fn user(
        &self,
        exchange: &Exchange,
        metadata: &Metadata,
        access_token: Option<&str>,
        subject: &str,
    ) -> Result<Option<Value>, String> {
        let wanted = self.config.set_userinfo_header || self.claim_schema.is_some();
        let (Some(endpoint), Some(token), true) = (&metadata.userinfo_endpoint, access_token, wanted) else {
            return Ok(None);
        };
        let told = self.provider.get(exchange.worker(), endpoint, Some(token)).await;
        let told = told.ok().and_then(|text| serde_json::from_slice::<Map<String, Value>>(&text).ok());
        let Some(told) = told else {
            tracing::warn!("the provider says nothing of a user");
            return Ok(None);
        };
        if told.get("sub").and_then(Value::as_str) != Some(subject) {
            return Err("the provider speaks of another user than its id token".to_owned());
        }
        Ok(Some(Value::Object(told)))
    }

    /// Where the provider sends the browser back to.
    fn redirect_uri(&self, exchange: &Exchange) -> String {
        let request = &exchange.request;
        let here = |path: &str| {
            let host = request.head.get_str("host").unwrap_or(request.host());
            format!("{}://{host}{path}", request.scheme())
        };
        match &self.config.redirect_uri {
            Some(uri) if uri.starts_with('/') => here(uri),
            Some(uri) => uri.clone(),
            None => here(&format!("{}{REDIRECT_SUFFIX}", request.original_path().trim_end_matches('/'))),
        }
    }

    /// Whether cookies are kept to https.
    pub(super) fn is_secure(&self, exchange: &Exchange) -> bool {
        exchange.request.tls
            || self.config.redirect_uri.as_ref().is_some_and(|uri| uri.starts_with("https://"))
    }
}

fn login_cookie(cookies: &Cookies, state: &str) -> String {
    slot_cookie(cookies, state.bytes().fold(0_u8, u8::wrapping_add) % SLOTS)
}

/// The logins that this browser keeps.
fn under_way<'a>(exchange: &'a Exchange, cookies: &'a Cookies) -> impl Iterator<Item = Begun> + 'a {
    (0..SLOTS).filter_map(|slot| {
        let sealed = exchange.request.cookie(&slot_cookie(cookies, slot))?;
        cookies.open::<Begun>("login", sealed)
    })
}

/// The login of this browser that began with this state.
fn begun_with(exchange: &Exchange, cookies: &Cookies, state: &str) -> Option<Begun> {
    let sealed = exchange.request.cookie(&login_cookie(cookies, state))?;
    let begun = cookies.open::<Begun>("login", sealed)?;
    alike(begun.state.as_bytes(), state.as_bytes()).then_some(begun)
}

fn slot_cookie(cookies: &Cookies, slot: u8) -> String {
    format!("{}{LOGIN}{slot}", cookies.name)
}

/// A way back that belongs to no login under way: of one that ended, say, or that was overtaken by others. A browser goes to where it wanted to.
fn go_again(exchange: &Exchange, target: Option<String>, reason: &str) -> Result<Reply, Trouble> {
    let target = target.filter(|target| !target.is_empty() && exchange.request.method() == "GET");
    let Some(target) = target else { return Err(Trouble(format!("it was refused: {reason}"))) };
    tracing::warn!(reason, "a login has to begin again");
    Ok(Reply::new(302).with("Location", local(&target)).with("Cache-Control", "no-store"))
}

/// A target on this very host: one that a browser would take for another host's becomes `/`.
fn local(target: &str) -> String {
    let is_local = target.starts_with('/')
        && !target.starts_with("//")
        && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_local { target.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn a_login_leads_nowhere_but_here() {
        for (target, wanted) in [
            ("/a?b=c", "/a?b=c"),
            ("//evil.test/", "/"),
            ("/\\evil.test", "/"),
            ("https://evil.test", "/"),
            ("https:evil.test", "/"),
            ("/a\r\nX: y", "/"),
            ("", "/"),
        ] {
            assert_eq!(local(target), wanted, "{target}");
        }
    }
}
