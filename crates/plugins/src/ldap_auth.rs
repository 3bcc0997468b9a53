//! `ldap-auth` lets in whose user and password an LDAP directory knows.
//!
//! The user's name becomes part of a distinguished name, with everything escaped that means something there. A password that is empty is never sent:
//! many directories take it for a login of nobody, which always succeeds. A directory that is away lets nobody in.
//!
//! Example: `{"base_dn": "ou=users,dc=example,dc=org", "ldap_uri": "127.0.0.1:1389", "uid": "cn"}`

mod bind;

use std::net::IpAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_model::compat::Behaviour;
use usher_pipeline::consumer::Found;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::spec::{Credential, Spec};
use usher_pipeline::worker::{Peer, PeerTls};

use crate::addresses::{authority, check_host};
use crate::basic_credentials::{NoLogin, login, without_space};
use crate::stranger::Stranger;
use bind::{Verdict, escaped};

/// `ldap-auth`.
pub(crate) static PLUGIN: Spec = Spec::of::<LdapAuth>().auth::<LdapAuthCredential>();

/// How long a directory may take in all.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Lets in whose user and password an LDAP directory knows.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Where the users are, such as `ou=users,dc=example,dc=org`.
    base_dn: String,
    /// The directory: host and port, also as `ldap://` or `ldaps://`.
    ldap_uri: String,
    /// Speaks TLS with the directory. Passwords go to another machine in the clear only where this is written as `false`.
    use_tls: Option<bool>,
    /// Whether the directory's certificate is verified.
    #[serde(default = "crate::schema::yes")]
    tls_verify: bool,
    /// The attribute that users are named by.
    #[serde(default = "cn")]
    uid: String,
    /// Takes `Authorization` out of the request before the upstream sees it.
    #[serde(default)]
    hide_credentials: bool,
    /// The realm that the answer 401 names.
    #[serde(default = "realm")]
    realm: String,
}

fn cn() -> String {
    "cn".to_owned()
}

fn realm() -> String {
    "ldap".to_owned()
}

/// A consumer that a directory knows.
#[derive(Deserialize, JsonSchema)]
struct LdapAuthCredential {
    /// Its distinguished name, such as `cn=jack,ou=users,dc=example,dc=org`. No two consumers may have the same.
    user_dn: String,
}

impl Credential for LdapAuthCredential {
    const UNIQUE: &'static str = "user_dn";

    fn unique(&self) -> &str {
        &self.user_dn
    }
}

struct LdapAuth {
    base_dn: String,
    uid: String,
    peer: Peer,
    hide_credentials: bool,
    stranger: Stranger,
}

impl Plugin for LdapAuth {
    const NAME: &'static str = "ldap-auth";
    const PRIORITY: i32 = 2540;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Later(Self::authenticate)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let refused = |reason: String| {
            BuildError::new(format!(
                "property \"ldap_uri\" validation failed: {:?} {reason}",
                config.ldap_uri
            ))
        };
        let (is_ldaps, rest) = match config.ldap_uri.strip_prefix("ldaps://") {
            Some(rest) => (true, rest),
            None => (false, config.ldap_uri.strip_prefix("ldap://").unwrap_or(&config.ldap_uri)),
        };
        let uses_tls = is_ldaps || config.use_tls == Some(true);
        let (host, port) = authority(&format!("http://{}", rest.trim_end_matches('/')))
            .map_err(|reason| refused(format!("{reason}; write something like 127.0.0.1:389")))?;
        let names_port =
            rest.rsplit_once(':').is_some_and(|(_, port)| port.trim_end_matches('/').parse::<u16>().is_ok());
        let port = if names_port {
            port
        } else if uses_tls {
            636
        } else {
            389
        };
        let address = host.parse::<IpAddr>();
        check_host("ldap_uri", &host, port, env)?;
        let is_local = host == "localhost" || address.is_ok_and(|ip| ip.to_canonical().is_loopback());
        let is_allowed = config.use_tls.is_some() || env.process().compat().has(Behaviour::PlainCredentials);
        if !uses_tls && !is_local && !is_allowed {
            return Err(BuildError::new(
                "property \"use_tls\" is required: passwords go to another machine; write true, or false to send them in the clear",
            ));
        }
        if config.uid.is_empty()
            || !config.uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        {
            return Err(BuildError::new(format!(
                "property \"uid\" validation failed: {:?} is no attribute; write something like cn or uid",
                config.uid
            )));
        }
        let tls = uses_tls.then_some(PeerTls { verify: config.tls_verify, name: None });
        Ok(Self {
            base_dn: config.base_dn,
            uid: config.uid,
            peer: Peer { host, port, tls, timeout: TIMEOUT },
            hide_credentials: config.hide_credentials,
            stranger: Stranger::new(Self::NAME, "Basic", &config.realm, None)?,
        })
    }
}

impl LdapAuth {
    fn authenticate<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            match self.judge(exchange).await {
                Ok(found) => exchange.attach(&found),
                Err(problem) => return self.stranger.refuse(problem),
            }
            if self.hide_credentials {
                exchange.request.head.remove("Authorization");
            }
            Flow::Continue
        }
        .boxed_local()
    }

    async fn judge(&self, exchange: &Exchange) -> Result<Found, &'static str> {
        const REFUSED: &str = "Invalid user authorization";
        let login = login(&exchange.request.head).map_err(NoLogin::message)?;
        // As APISIX does it: neither user nor password has white space.
        let user = String::from_utf8(without_space(&login.user)).map_err(|_| REFUSED)?;
        let password = without_space(&login.password);
        if user.is_empty() || password.is_empty() {
            return Err(REFUSED);
        }
        let name = format!("{}={},{}", self.uid, escaped(&user), self.base_dn);
        let worker = exchange.worker();
        let asked = async {
            let mut stream = worker.connect(self.peer.clone()).await.map_err(|error| error.to_string())?;
            bind::bind(&mut stream, name.as_bytes(), &password).await
        };
        let verdict = futures_util::future::select(Box::pin(asked), worker.sleep(TIMEOUT)).await;
        let verdict = match verdict {
            futures_util::future::Either::Left((verdict, _)) => verdict,
            futures_util::future::Either::Right(_) => Err("it did not answer in time".to_owned()),
        };
        match verdict {
            Ok(Verdict::Known) => {}
            Ok(Verdict::Unknown) => return Err(REFUSED),
            Err(error) => {
                tracing::warn!(error, "an LDAP directory can't be asked");
                return Err(REFUSED);
            }
        }
        exchange.find_credential(Self::NAME, name.as_bytes()).ok_or(REFUSED)
    }
}

#[cfg(test)]
mod tests;
