//! What a user writes for `openid-connect`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use usher_http1::head::Head;
use usher_model::jose::algorithm::Algorithm;
use usher_model::secret::Secret;
use usher_pipeline::env::Env;
use usher_pipeline::plugin::BuildError;

use super::kept::Place;
use crate::addresses::authority;
use crate::callee;
use crate::schema::{number, yes};

/// Lets in who an OpenID Connect provider vouches for: by a token that the client brings, or by a login in the browser.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Config {
    /// The id under which the provider knows this gateway.
    pub(super) client_id: String,
    /// The secret that belongs to it; sealed in the store. Needed unless tokens are only verified by their signatures, or `use_pkce` is on.
    pub(super) client_secret: Option<Secret<String>>,
    /// The provider's discovery document: a URL that ends with `/.well-known/openid-configuration`.
    pub(super) discovery: String,
    /// What is asked of the provider, between blanks.
    #[serde(default = "openid")]
    pub(super) scope: String,
    /// Only takes tokens that the client brings, as `Authorization: Bearer`, and never sends a browser to the provider.
    #[serde(default)]
    pub(super) bearer_only: bool,
    /// The browser's session. Needed unless `bearer_only` is on.
    pub(super) session: Option<SessionConfig>,
    /// The realm that the answer 401 names.
    #[serde(default = "realm")]
    pub(super) realm: String,
    /// Where the provider sends the browser back to: a URL, or a path of this host. By default the requested path with `/.apisix/redirect` behind it.
    pub(super) redirect_uri: Option<String>,
    /// The path that ends the session.
    #[serde(default = "logout_path")]
    pub(super) logout_path: String,
    /// Where the browser goes after the session's end.
    pub(super) post_logout_redirect_uri: Option<String>,
    /// What becomes of a request without a session: `auth` sends the browser to the provider, `deny` answers 401, `pass` lets it on as nobody.
    #[serde(default)]
    pub(super) unauth_action: UnauthAction,
    /// Where tokens are judged by the provider (RFC 7662); by default what discovery says.
    pub(super) introspection_endpoint: Option<String>,
    /// How the gateway names itself there.
    #[serde(default)]
    pub(super) introspection_endpoint_auth_method: AuthMethod,
    /// How the gateway names itself where it gets tokens; by default what discovery says.
    pub(super) token_endpoint_auth_method: Option<AuthMethod>,
    /// Seconds for which the provider's judgement of a token is believed, at most until the token ends. 0 asks at every request.
    #[serde(default = "number::<0>")]
    pub(super) introspection_interval: u64,
    /// The public key that tokens are signed with, as PEM.
    pub(super) public_key: Option<String>,
    /// Verifies tokens by the keys that the provider publishes.
    #[serde(default)]
    pub(super) use_jwks: bool,
    /// The one algorithm that tokens may be signed with. By default any that the provider's public keys allow; `HS256` and its kin, which are verified by
    /// `client_secret`, only where they stand here.
    pub(super) token_signing_alg_values_expected: Option<Algorithm>,
    /// Proves with PKCE (RFC 7636, S256) that who began a login also ends it.
    #[serde(default)]
    pub(super) use_pkce: bool,
    /// Scopes that a token has to have; one that lacks some is answered 403.
    pub(super) required_scopes: Option<Vec<String>>,
    /// Further rules for a token's claims.
    pub(super) claim_validator: Option<ClaimValidator>,
    /// A JSON schema: of a session for an object with `user`, `access_token` and `id_token`, of a token that the client brings for its claims.
    pub(super) claim_schema: Option<Map<String, Value>>,
    /// Gives the upstream the access token.
    #[serde(default = "yes")]
    pub(super) set_access_token_header: bool,
    /// Gives it as `Authorization: Bearer` instead of `X-Access-Token`.
    #[serde(default)]
    pub(super) access_token_in_authorization_header: bool,
    /// Gives the upstream the id token's claims in `X-ID-Token`, as JSON in base64.
    #[serde(default = "yes")]
    pub(super) set_id_token_header: bool,
    /// Gives the upstream the id token itself in `X-Raw-ID-Token`.
    #[serde(default)]
    pub(super) set_raw_id_token_header: bool,
    /// Gives the upstream what is known of the user in `X-Userinfo`, as JSON in base64.
    #[serde(default = "yes")]
    pub(super) set_userinfo_header: bool,
    /// Gives the upstream the refresh token in `X-Refresh-Token`.
    #[serde(default)]
    pub(super) set_refresh_token_header: bool,
    /// Whether the provider's certificate is verified; `"no"`, as it once was written, is `false`.
    #[serde(default)]
    pub(super) ssl_verify: Verified,
    /// Seconds for each call to the provider, at least 1.
    #[serde(default = "number::<3>")]
    #[schemars(range(min = 1))]
    pub(super) timeout: u64,
    /// Further arguments of the URL that the browser is sent to.
    pub(super) authorization_params: Option<BTreeMap<String, String>>,
    /// Gets a new access token when the old one ends, as long as there is a refresh token.
    #[serde(default = "yes")]
    pub(super) renew_access_token_on_expiry: bool,
    /// Seconds that an access token is taken to live where the provider doesn't say it, at least 1.
    #[schemars(range(min = 1))]
    pub(super) access_token_expires_in: Option<u64>,
    /// Seconds by which an access token is renewed before its end.
    #[serde(default = "number::<0>")]
    pub(super) access_token_expires_leeway: u64,
    /// Accepted for APISIX's sake: a nonce is always sent and always compared.
    #[serde(default)]
    #[expect(dead_code, reason = "a nonce costs nothing")]
    use_nonce: bool,
    /// Accepted for APISIX's sake: a signature that can't be verified is always refused.
    #[serde(default = "yes")]
    #[expect(dead_code, reason = "unverified tokens are never taken")]
    accept_unsupported_alg: bool,
    /// Has to be false: a token without a signature is never taken.
    #[serde(default)]
    pub(super) accept_none_alg: bool,
    /// Seconds by which the provider's clock may differ.
    #[serde(default = "number::<120>")]
    pub(super) iat_slack: u64,
    /// Seconds for which discovery document and published keys are kept, at least 1. Keys are asked for earlier when a token names an unknown one.
    #[serde(default = "number::<86400>")]
    #[schemars(range(min = 1))]
    pub(super) jwk_expires_in: u64,
    /// Of Usher: allows plain http to a provider that isn't on this machine. Secrets and tokens are then sent in the clear.
    #[serde(default)]
    pub(super) allow_plain_http: bool,
    /// Leaves what a login asks for with the provider before the browser goes there (RFC 9126).
    #[serde(default)]
    pub(super) par: Par,
    /// The private key that assertions are signed with, as PEM, for `private_key_jwt`; of RSA, or of a curve where `client_jwt_assertion_alg` says so.
    pub(super) client_rsa_private_key: Option<Secret<String>>,
    /// The id by which the provider knows that key.
    pub(super) client_rsa_private_key_id: Option<String>,
    /// How assertions are signed: by default `RS256`, with `client_secret_jwt` `HS256`.
    pub(super) client_jwt_assertion_alg: Option<Algorithm>,
    /// Seconds for which an assertion is good, at least 1.
    #[serde(default = "number::<60>")]
    #[schemars(range(min = 1))]
    pub(super) client_jwt_assertion_expires_in: u64,
    /// For whom assertions are made; by default the endpoint that is asked.
    pub(super) client_jwt_assertion_audience: Option<String>,
    /// Ends tokens at the provider too when a session is ended (RFC 7009).
    #[serde(default)]
    pub(super) revoke_tokens_on_logout: bool,
    /// Headers of the client that the provider is told where it judges a token.
    #[schemars(length(min = 1), inner(regex(pattern = "^[^:]+$")))]
    pub(super) introspection_addon_headers: Option<Vec<String>>,
    /// The claim that says until when the provider's judgement may be believed.
    #[serde(default = "exp")]
    pub(super) introspection_expiry_claim: String,
    /// Accepted for APISIX's sake: a signature is verified at every request.
    #[serde(default)]
    #[expect(dead_code, reason = "no verification is cached")]
    jwt_verification_cache_ignore: bool,
    /// Accepted for APISIX's sake: what is remembered is each use's own.
    #[expect(dead_code, reason = "nothing is shared")]
    cache_segment: Option<String>,
    /// Not supported by this version.
    proxy_opts: Option<Value>,
    /// Not supported by this version, where it is enabled.
    #[serde(default)]
    dpop: Dpop,
    /// What stands in `par`, and is refused by this name.
    #[schemars(skip)]
    use_par: Option<Value>,
    /// What stands in `dpop`, likewise.
    #[schemars(skip)]
    use_dpop: Option<Value>,
    /// Not supported by this version.
    refresh_session_interval: Option<u64>,
    /// Not supported by this version.
    #[serde(default)]
    force_reauthorize: bool,
}

/// Where a login's arguments are left.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Par {
    /// Whether they are.
    #[serde(default)]
    pub(super) enabled: bool,
    /// Where; by default what discovery says.
    pub(super) endpoint: Option<String>,
    /// How the gateway names itself there; by default as where it gets tokens.
    pub(super) endpoint_auth_method: Option<AuthMethod>,
}

/// Tokens that are bound to a key.
#[derive(Default, Deserialize, JsonSchema)]
struct Dpop {
    /// Has to be false.
    #[serde(default)]
    enabled: bool,
}

/// Whether a certificate is verified; APISIX's older `"no"` is `false`.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Verified(pub(super) bool);

/// How that is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenVerified {
    Said(bool),
    No(No),
}

#[derive(Deserialize)]
enum No {
    #[serde(rename = "no")]
    No,
}

impl Default for Verified {
    fn default() -> Self {
        Self(true)
    }
}

impl<'de> Deserialize<'de> for Verified {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match WrittenVerified::deserialize(deserializer)? {
            WrittenVerified::Said(said) => Self(said),
            WrittenVerified::No(No::No) => Self(false),
        })
    }
}

impl JsonSchema for Verified {
    fn schema_name() -> Cow<'static, str> {
        "Verified".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "enum": ["no"] }] })
    }
}

fn exp() -> String {
    "exp".to_owned()
}

fn openid() -> String {
    "openid".to_owned()
}

fn realm() -> String {
    "apisix".to_owned()
}

fn logout_path() -> String {
    "/logout".to_owned()
}

/// What becomes of a request without a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum UnauthAction {
    #[default]
    Auth,
    Deny,
    Pass,
}

/// How the gateway proves to the provider who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuthMethod {
    #[default]
    ClientSecretBasic,
    ClientSecretPost,
    ClientSecretJwt,
    PrivateKeyJwt,
}

/// The browser's session: everything in one encrypted cookie.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionConfig {
    /// The secret that the cookie is encrypted with, at least 16 characters; sealed in the store. All gateways of one site need the same.
    #[schemars(length(min = 16))]
    pub(super) secret: Secret<String>,
    /// Older names of the same.
    pub(super) cookie: Option<OldCookie>,
    /// The cookie's name.
    #[serde(default = "cookie_name")]
    pub(super) cookie_name: String,
    /// The path that the cookie is sent to.
    #[serde(default = "cookie_path")]
    pub(super) cookie_path: String,
    /// The domain that the cookie is sent to; by default the host alone.
    pub(super) cookie_domain: Option<String>,
    /// Keeps the cookie from scripts.
    #[serde(default = "yes")]
    pub(super) cookie_http_only: bool,
    /// Keeps the cookie to https. By default it is where the browser came over https, or is sent back to an https URL.
    pub(super) cookie_secure: Option<bool>,
    /// Whether other sites' pages make the browser send it; `Default` leaves it to the browser.
    #[serde(default)]
    pub(super) cookie_same_site: SameSite,
    /// Seconds without a request after which the session ends; 0 is never.
    #[serde(default = "number::<900>")]
    pub(super) idling_timeout: u64,
    /// Seconds after which the cookie is made anew; 0 is never.
    #[serde(default = "number::<3600>")]
    pub(super) rolling_timeout: u64,
    /// Seconds after which the session ends in any case; 0 is never.
    #[serde(default = "number::<86400>")]
    pub(super) absolute_timeout: u64,
    /// Where the session is kept: in the `cookie`, encrypted, or in a `redis`, where it is encrypted too and the cookie only says which one it is.
    #[serde(default)]
    pub(super) storage: Storage,
    /// The Redis, for `storage` `redis`.
    pub(super) redis: Option<Place>,
}

impl SessionConfig {
    /// Seconds after which a session ends in any case; 0 is never.
    pub(super) fn lifetime(&self) -> u64 {
        self.cookie.as_ref().and_then(|cookie| cookie.lifetime).unwrap_or(self.absolute_timeout)
    }
}

/// An older way to write `absolute_timeout`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct OldCookie {
    /// Seconds after which the session ends in any case.
    pub(super) lifetime: Option<u64>,
}

/// Whether other sites' pages make the browser send a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) enum SameSite {
    Strict,
    #[default]
    Lax,
    None,
    Default,
}

/// Where sessions are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Storage {
    #[default]
    Cookie,
    Redis,
}

fn cookie_name() -> String {
    "session".to_owned()
}

fn cookie_path() -> String {
    "/".to_owned()
}

/// Further rules for a token's claims.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ClaimValidator {
    /// Whose tokens are taken.
    pub(super) issuer: Option<Issuer>,
    /// For whom tokens have to be made.
    pub(super) audience: Option<Audience>,
}

/// Whose tokens are taken.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Issuer {
    /// Issuers; by default the one that discovery names.
    pub(super) valid_issuers: Option<Vec<String>>,
}

/// For whom tokens have to be made.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Audience {
    /// The claim that says it.
    #[serde(default = "aud")]
    pub(super) claim: String,
    /// Whether it has to be there.
    #[serde(default)]
    pub(super) required: bool,
    /// Whether it has to name `client_id`.
    #[serde(default)]
    pub(super) match_with_client_id: bool,
}

fn aud() -> String {
    "aud".to_owned()
}

impl Config {
    /// How the gateway names itself, wherever it does.
    pub(super) fn auth_methods(&self) -> impl Iterator<Item = AuthMethod> {
        let token = [self.token_endpoint_auth_method, self.par.endpoint_auth_method].into_iter().flatten();
        token.chain([self.introspection_endpoint_auth_method])
    }

    /// Checks what a schema can't say.
    ///
    /// # Errors
    /// The member that can't be used.
    pub(super) fn check(&self, env: &Env<'_>) -> Result<(), BuildError> {
        let refused = |sentence: &str| Err(BuildError::new(sentence));
        let gaps = [
            ("proxy_opts", self.proxy_opts.is_some()),
            ("dpop.enabled", self.dpop.enabled),
            ("refresh_session_interval", self.refresh_session_interval.is_some()),
            ("force_reauthorize", self.force_reauthorize),
        ];
        if let Some((member, _)) = gaps.iter().find(|(_, there)| *there) {
            return Err(BuildError::new(format!(
                "property \"{member}\" validation failed: it is not supported by this version of Usher; remove it"
            )));
        }
        let flat = [("par", self.use_par.is_some()), ("dpop", self.use_dpop.is_some())];
        if let Some((object, _)) = flat.iter().find(|(_, there)| *there) {
            return Err(BuildError::new(format!(
                "property \"use_{object}\" is not allowed, use \"{object}.enabled\" instead"
            )));
        }
        if self.accept_none_alg {
            return refused(
                "property \"accept_none_alg\" validation failed: a token without a signature is never taken; remove it",
            );
        }
        let needs_no_secret = if self.bearer_only {
            let verifies_alone = self.public_key.is_some() || self.use_jwks;
            verifies_alone || self.introspection_endpoint_auth_method == AuthMethod::PrivateKeyJwt
        } else {
            self.use_pkce || self.token_endpoint_auth_method == Some(AuthMethod::PrivateKeyJwt)
        };
        if self.client_secret.is_none() && !needs_no_secret {
            return refused("property \"client_secret\" is required");
        }
        match &self.session {
            None if !self.bearer_only => {
                return refused("property \"session.secret\" is required when \"bearer_only\" is false");
            }
            Some(session) if session.storage == Storage::Cookie && session.redis.is_some() => {
                return refused(
                    "property \"session\" validation failed: redis is only used where storage is redis; write storage, or remove redis",
                );
            }
            Some(session) if session.storage == Storage::Redis && session.redis.is_none() => {
                return refused(
                    "property \"session\" validation failed: property \"redis\" is required where storage is redis",
                );
            }
            _ => {}
        }
        callee::check_confidential("discovery", &self.discovery, self.allow_plain_http, env)?;
        if let Some(endpoint) = &self.introspection_endpoint {
            callee::check_confidential("introspection_endpoint", endpoint, self.allow_plain_http, env)?;
        }
        if let Some(endpoint) = &self.par.endpoint {
            callee::check_confidential("par.endpoint", endpoint, self.allow_plain_http, env)?;
        }
        let mut probe = Head::empty();
        let texts = [
            ("realm", Some(&self.realm)),
            ("redirect_uri", self.redirect_uri.as_ref()),
            ("post_logout_redirect_uri", self.post_logout_redirect_uri.as_ref()),
        ];
        for (member, text) in texts {
            if text.is_some_and(|text| probe.set("x", text).is_err()) {
                return Err(BuildError::new(format!(
                    "property \"{member}\" validation failed: control characters can't be sent in a header"
                )));
            }
        }
        if let Some(uri) = &self.redirect_uri
            && !uri.starts_with('/')
            && authority(uri).is_err()
        {
            return Err(BuildError::new(format!(
                "property \"redirect_uri\" validation failed: {uri:?} is neither an http(s) URL nor a path"
            )));
        }
        Ok(())
    }
}
