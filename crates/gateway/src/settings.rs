//! What a server is started with: `config.yaml`, then the environment, then the command line, later ones winning.
//!
//! The names are APISIX's where it has them. An unknown name is an error with the nearest known one; a name of APISIX's that Usher doesn't
//! act upon is warned about, so that nobody believes in a setting that does nothing.

pub(crate) mod acme;
mod admin;
mod chat;
mod console;
mod kept;
mod known;
mod listen;
mod model;
mod plugin_attr;
mod read;
mod reload;
mod server;
mod store;
mod streams;
mod tls;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Map, Value};
use usher_admin::keys::ConfiguredKey;
use usher_model::compat::Compat;
use usher_model::secret::Secret;
use usher_proxy::options::{AccessLog, PathRules};

pub(crate) use admin::{AdminApi, AdminTls};
pub(crate) use console::Console;
pub(crate) use listen::{Listen, addresses, parse_listen};
pub(crate) use read::read_file;
pub(crate) use store::{Role, StoreKind, parse_store};
use upstream::Upstreams;

/// Everything a server is started with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where the store, the keys and the logs are.
    pub(crate) data: PathBuf,
    /// Which store.
    pub(crate) store: StoreKind,
    /// Which part the gateway plays.
    pub(crate) role: Role,
    /// APISIX's own file, where a provider asks for one; `apisix.yaml` beside the settings by default.
    pub(crate) store_file: Option<PathBuf>,
    /// A file with the key of the store: an APISIX's admin key.
    pub(crate) store_key_file: Option<PathBuf>,
    /// Certificates that the store is trusted by, in PEM.
    pub(crate) store_ca_file: Option<PathBuf>,
    /// Whether the store has to prove who it is.
    pub(crate) store_verify: bool,
    /// Keys of APISIX's field encryption, 16 or 32 bytes each, the first encrypts; `None` where the settings don't name any.
    pub(crate) data_keys: Option<Vec<Secret<String>>>,
    /// The keyring that all gateways of a store share; it is taken over into the data folder at the start.
    pub(crate) keyring_file: Option<PathBuf>,
    /// Worker threads of the gateway; the number of cores by default.
    pub(crate) workers: usize,
    /// Where the gateway listens.
    pub(crate) proxy: Vec<SocketAddr>,
    /// TLS towards the gateway's clients: where it is spoken, and how.
    pub(crate) tls: usher_proxy::options::Tls,
    /// Certificates that are ordered by themselves; none by default.
    pub(crate) acme: Option<acme::Acme>,
    /// Where load balancers come to that speak the PROXY protocol.
    pub(crate) behind_balancer: usher_proxy::options::BehindBalancer,
    /// Where stream routes are served.
    pub(crate) streams: usher_proxy::options::Streams,
    /// Where the Admin API listens.
    pub(crate) admin: Vec<SocketAddr>,
    /// Where the chat side listens.
    pub(crate) chat: Vec<SocketAddr>,
    /// Where metrics are served.
    pub(crate) metrics: Vec<SocketAddr>,
    /// The path of the metrics there.
    pub(crate) metrics_path: String,
    /// Where the Control API listens; nowhere by default.
    pub(crate) control: Vec<SocketAddr>,
    /// Where the status API listens; nowhere by default.
    pub(crate) status: Vec<SocketAddr>,
    /// Where other gateways of the store ask for this one's traffic; nowhere by default.
    pub(crate) gateways: Vec<SocketAddr>,
    /// Where others are asked for theirs, `HOST:PORT` each.
    pub(crate) other_gateways: Vec<String>,
    /// How the Admin API is reached and looks.
    pub(crate) admin_api: AdminApi,
    /// Where the console is opened, and how people log in to it.
    pub(crate) console: Console,
    /// The header `Server`, where it is an own text.
    pub(crate) server_header: Option<String>,
    /// Leaves the version out of the header `Server`.
    pub(crate) hide_version: bool,
    /// The names of the plugins that are on; all by default.
    pub(crate) plugins: Option<Vec<String>>,
    /// The same of those for stream routes.
    pub(crate) stream_plugins: Option<Vec<String>>,
    /// Admin keys; empty means that one is made at the first start.
    pub(crate) admin_keys: Vec<ConfiguredKey>,
    /// Whether the Admin API asks for a key at all.
    pub(crate) admin_key_required: bool,
    /// A container publishes the chat side on the host's loopback only, so that it may listen wider without a key.
    pub(crate) published_on_loopback: bool,
    /// Whether nobody comes in at the chat side without a token.
    pub(crate) chat_token_required: bool,
    /// The model that leads the chat, where the file names one.
    pub(crate) model: Option<model::Model>,
    /// What that model may spend.
    pub(crate) chat_budget: usher_chat::assistant::Budget,
    /// Whether the console is on the chat side too; `None` where that is safe by itself.
    pub(crate) chat_console: Option<bool>,
    /// How programs that a user lets in get tokens at the chat side; `None` where they can't.
    pub(crate) oauth: Option<usher_chat::Oauth>,
    /// What one caller of the chat side may do within a minute.
    pub(crate) chat_limits: usher_chat::Limits,
    /// The sets of tools that chats have beside the usual ones.
    pub(crate) chat_toolsets: Vec<usher_chat::Toolset>,
    /// What ChatGPT's plugin store gave to be shown in the manifest, by name.
    pub(crate) verification_tokens: Vec<(String, String)>,
    /// The chat side's address as clients see it; made of its listener by default.
    pub(crate) public_url: Option<String>,
    /// A person has to agree to each change that comes through a chat.
    pub(crate) consent_all: bool,
    /// Which unsafe or cosmetic behaviours of APISIX are on.
    pub(crate) compat: Compat,
    /// Peers whose forwarded headers are believed.
    pub(crate) trusted_addresses: Vec<String>,
    /// Whether clients may speak HTTP/2. Default yes.
    pub(crate) http2: bool,
    /// `radixtree_uri`, `radixtree_uri_with_parameter` or `radixtree_host_uri`.
    pub(crate) router: String,
    /// How paths are read before routes look at them.
    pub(crate) paths: PathRules,
    /// Whether every answer says the upstream's status.
    pub(crate) show_upstream_status: bool,
    /// Whether every answer says which plugins ran.
    pub(crate) debug: bool,
    /// The most connections of clients, over all workers.
    pub(crate) most_connections: Option<usize>,
    /// The most connections of one client.
    pub(crate) most_connections_per_client: Option<usize>,
    /// The most memory of the process, in bytes.
    pub(crate) most_memory_bytes: Option<u64>,
    /// Process-level settings by plugin.
    pub(crate) plugin_attributes: Map<String, Value>,
    /// One line a request, or none.
    pub(crate) access_log: Option<AccessLog>,
    /// One line a connection of stream routes, or none.
    pub(crate) stream_access_log: Option<AccessLog>,
    /// How upstream nodes are found and looked after.
    pub(crate) upstreams: Upstreams,
    /// Settings of APISIX's that were given and do nothing here.
    pub(crate) warnings: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("usher-data"),
            store: StoreKind::Embedded,
            role: Role::Traditional,
            store_file: None,
            store_key_file: None,
            store_ca_file: None,
            store_verify: true,
            data_keys: None,
            keyring_file: None,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            proxy: vec![SocketAddr::from(([0, 0, 0, 0], 9080))],
            acme: None,
            tls: usher_proxy::options::Tls::default(),
            behind_balancer: usher_proxy::options::BehindBalancer::default(),
            streams: usher_proxy::options::Streams::default(),
            admin: vec![SocketAddr::from(([127, 0, 0, 1], 9180))],
            chat: vec![SocketAddr::from(([127, 0, 0, 1], 5000))],
            metrics: vec![SocketAddr::from(([127, 0, 0, 1], 9091))],
            metrics_path: "/apisix/prometheus/metrics".to_owned(),
            control: Vec::new(),
            status: Vec::new(),
            gateways: Vec::new(),
            other_gateways: Vec::new(),
            admin_api: AdminApi::default(),
            console: Console::default(),
            server_header: None,
            hide_version: false,
            plugins: None,
            stream_plugins: None,
            admin_keys: Vec::new(),
            admin_key_required: true,
            published_on_loopback: false,
            chat_token_required: false,
            model: None,
            chat_console: None,
            oauth: None,
            chat_limits: usher_chat::Limits::default(),
            chat_toolsets: Vec::new(),
            chat_budget: usher_chat::assistant::Budget::default(),
            verification_tokens: Vec::new(),
            public_url: None,
            consent_all: false,
            compat: Compat::NONE,
            trusted_addresses: Vec::new(),
            http2: true,
            router: "radixtree_host_uri".to_owned(),
            paths: PathRules::default(),
            show_upstream_status: false,
            debug: false,
            most_connections: None,
            most_connections_per_client: None,
            most_memory_bytes: None,
            plugin_attributes: Map::new(),
            access_log: None,
            stream_access_log: None,
            upstreams: Upstreams::default(),
            warnings: Vec::new(),
        }
    }
}
