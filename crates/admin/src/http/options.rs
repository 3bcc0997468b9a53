//! How the Admin API listens, whom it answers, and in which form.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use ipnet::IpNet;
use usher_model::compat::Compat;
use usher_model::secret::Secret;

use crate::api::Pages;
use crate::keys::Keys;
use crate::oidc::Oidc;
use crate::talk::Talk;

/// How the Admin API listens and whom it answers.
pub struct HttpOptions {
    /// The keys it takes, beside the tokens that the service knows.
    pub keys: Keys,
    /// Whether a key is needed at all. Without one, everybody who reaches the port is an admin. Default true.
    pub key_required: bool,
    /// Which of APISIX's behaviours are on. Default none.
    pub compat: Compat,
    /// The value of the header `Server`; empty for none. Default `Usher`.
    pub server: String,
    /// The `host:port` under which it may be asked, and whose pages may call it. Default none.
    pub own_hosts: Vec<String>,
    /// The names under which the console is served and sessions count, beside addresses and `localhost`, each with or without a port. Default none.
    pub console_hosts: Vec<String>,
    /// Whether the port speaks TLS, where a browser asks for the name itself, so that no name has to be said here. Default false.
    pub tls: bool,
    /// Who may connect at all (`allow_admin`), by the socket's own address and nothing that a client writes; empty for everybody. Default
    /// empty.
    pub allowed: Vec<IpNet>,
    /// Whether [`usher_model::compat::Behaviour::AdminCors`] shows. Default true.
    pub cors: bool,
    /// How answers look, and which parts there are.
    pub form: Form,
    /// The one-time code with which the first user of the console is made. Default none.
    pub setup_code: Option<Secret<String>>,
    /// The file that sessions of the console are kept in over a restart. Default none: they end with the process.
    pub sessions: Option<PathBuf>,
    /// The provider that people may log in to the console with. Default none.
    pub oidc: Option<Arc<Oidc>>,
    /// Further paths of the port, to which its rules of addresses, hosts and pages apply, but not that of keys: the console's files. Default none.
    pub beside: Router,
    /// The built-in chat that `/usher/v1/chat` speaks with. Default none.
    pub talk: Option<Arc<dyn Talk>>,
    /// The manual's page on a plugin, in Markdown. Default none.
    pub pages: Pages,
}

impl HttpOptions {
    /// The defaults with these keys.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            key_required: true,
            compat: Compat::NONE,
            server: "Usher".to_owned(),
            own_hosts: Vec::new(),
            console_hosts: Vec::new(),
            tls: false,
            allowed: Vec::new(),
            cors: true,
            form: Form::default(),
            setup_code: None,
            sessions: None,
            oidc: None,
            beside: Router::new(),
            talk: None,
            pages: |_| None,
        }
    }
}

/// How answers look, and which parts of the Admin API there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Which envelopes resources come in. Default v3.
    pub envelopes: Envelopes,
    /// Whether there are stream routes (`apisix.proxy_mode`). Default false.
    pub streams: bool,
    /// Whether the configuration is one document at `/configs`, and no other path is served. Default false.
    pub standalone: bool,
}

/// The envelopes of resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Envelopes {
    /// `{"total": .., "list": [..]}`, with pages and searches.
    #[default]
    V3,
    /// `{"action": .., "node": ..}`, as etcd's old protocol had it; without pages and searches.
    V2,
}

impl Envelopes {
    /// As the header `X-API-VERSION` spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V3 => "v3",
            Self::V2 => "v2",
        }
    }
}
