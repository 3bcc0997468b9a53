//! A running server: store, proxy, Admin API, chat side and metrics, started in the order in which they need each other.
//!
//! `serve` and `demo` both start one of these, so that the demo shows the real thing.

mod accept;
mod ports;
mod side;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::{Map, Value};
use usher_admin::http::HttpOptions;
use usher_admin::keys::{self, Keys};
use usher_admin::service::{Parts, Rules, Service};
use usher_model::compat::{APISIX_VERSION, Behaviour};
use usher_pipeline::env::Process;
use usher_pipeline::registry::Registry;
use usher_proxy::Proxy;
use usher_store::Store;
use usher_store::embedded::Embedded;
use usher_store::memory::Memory;

use crate::settings::{Settings, StoreKind};

/// How long requests in flight may take to end once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(240);

/// Where everything listens, once it does. Printed as one JSON line by `--print-addresses`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Addresses {
    pub(crate) proxy: Vec<SocketAddr>,
    pub(crate) admin: Vec<SocketAddr>,
    pub(crate) chat: Vec<SocketAddr>,
    pub(crate) metrics: Vec<SocketAddr>,
}

/// The server.
pub(crate) struct Server {
    addresses: Addresses,
    admin_key: AdminKey,
    service: Arc<Service>,
    proxy: Proxy,
    sides: side::Sides,
}

/// Where the admin key is.
#[derive(Clone, Debug)]
pub(crate) enum AdminKey {
    /// In this file; `new` when this start made it.
    File {
        /// The file.
        path: PathBuf,
        /// Whether it was made by this start.
        new: bool,
    },
    /// In the settings or the environment.
    Given,
    /// No key is asked for.
    NotRequired,
}

impl Server {
    /// Starts everything; when it returns, all listeners answer.
    pub(crate) async fn start(settings: Settings) -> anyhow::Result<Self> {
        refuse_wide_chat(&settings)?;
        let listens = [&settings.proxy, &settings.admin, &settings.chat, &settings.metrics];
        if listens.iter().all(|addresses| addresses.is_empty()) {
            bail!(
                "every listener is off, so nothing would be served; leave one of them on, such as --proxy-listen 127.0.0.1:9080"
            );
        }
        let admin_sockets = ports::bind("Admin API", "--admin-listen", &settings.admin)?;
        let chat_sockets = ports::bind("chat side", "--chat-listen", &settings.chat)?;
        let metrics_sockets = ports::bind("metrics", "--metrics-listen", &settings.metrics)?;

        prepare_folder(&settings.data)?;
        let (store, keyring) = open_store(&settings)?;
        let (keys, admin_key) = admin_keys(&settings)?;
        let registry = Arc::new(Registry::new(usher_plugins::all()));
        let process = Arc::new(Process::new(attributes(&settings), settings.compat, usher_proxy::targets()));

        let own: Vec<SocketAddr> = [&admin_sockets, &chat_sockets, &metrics_sockets]
            .into_iter()
            .flat_map(|sockets| sockets.addresses())
            .collect();
        let options = proxy_options(&settings, &own)?;
        let proxy = Proxy::start(
            options,
            Arc::clone(&registry),
            Arc::clone(&process),
            Arc::clone(&store),
            Arc::clone(&keyring),
        )
        .await
        .map_err(|error| ports::explain_proxy(error, &settings.proxy))?;

        let rules = Rules { consent_all: settings.consent_all, forbidden_nodes: own, ..Rules::default() };
        let parts =
            Parts { store, live: proxy.live(), registry, process: Arc::clone(&process), keyring, rules };
        let service =
            Arc::new(Service::start(parts).await.context("could not read the stored configuration")?);

        let addresses = Addresses {
            proxy: proxy.addresses(),
            admin: admin_sockets.addresses(),
            chat: chat_sockets.addresses(),
            metrics: metrics_sockets.addresses(),
        };
        let mut sides = side::Sides::default();
        let admin =
            usher_admin::http::router(Arc::clone(&service), http_options(&settings, keys, &addresses));
        sides.serve(admin_sockets, admin)?;
        let chat = side::chat_router(&settings, &service, &addresses);
        sides.serve(chat_sockets, chat)?;
        sides.serve(metrics_sockets, side::metrics_router(process, &addresses.metrics))?;
        Ok(Self { addresses, admin_key, service, proxy, sides })
    }

    /// Where everything listens.
    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where the admin key is.
    pub(crate) const fn admin_key(&self) -> &AdminKey {
        &self.admin_key
    }

    /// The only writer of the store.
    pub(crate) const fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Stops: requests in flight are answered, then everything closes.
    pub(crate) async fn stop(self) {
        self.proxy.drain(DRAIN).await;
        self.sides.stop().await;
    }
}

fn open_store(settings: &Settings) -> anyhow::Result<(Arc<dyn Store>, Arc<usher_model::seal::Keyring>)> {
    Ok(match settings.store {
        StoreKind::Memory => (Arc::new(Memory::new()), Arc::new(keys::ephemeral_keyring()?)),
        StoreKind::Embedded => {
            refuse_lost_keyring(&settings.data)?;
            let keyring = keys::load_or_create_keyring(&settings.data)?;
            let store = Embedded::open(&settings.data)
                .with_context(|| format!("could not open the store in {}", settings.data.display()))?;
            if let Some(recovered) = store.describe().recovered {
                tracing::error!(
                    damaged = %recovered.damaged.display(),
                    reason = %recovered.reason,
                    snapshot = ?recovered.snapshot,
                    revision = recovered.revision,
                    "the data file was damaged: it was moved aside, and the last good state is served"
                );
            }
            (Arc::new(store), Arc::new(keyring))
        }
    })
}

/// A new keyring beside an old store could open none of its secrets, and what is sealed with it could not be read once the old one is back.
fn refuse_lost_keyring(folder: &Path) -> anyhow::Result<()> {
    let (keyring, store) = (folder.join("keyring.key"), folder.join("usher.redb"));
    if store.exists() && !keyring.exists() {
        bail!(
            "{} is missing, but a store is there whose secrets only it can open; put a copy of it back, \
             or start with an empty folder (--data)",
            keyring.display()
        );
    }
    Ok(())
}

fn admin_keys(settings: &Settings) -> anyhow::Result<(Keys, AdminKey)> {
    if !settings.admin_key_required {
        if let Some(wide) = settings.admin.iter().find(|address| !address.ip().is_loopback()) {
            bail!(
                "deployment.admin.admin_key_required: false is for loopback only, but the Admin API would listen on {wide}; \
                 require a key, or listen on 127.0.0.1"
            );
        }
        return Ok((Keys::new(Vec::new(), settings.compat)?, AdminKey::NotRequired));
    }
    if !settings.admin_keys.is_empty() {
        return Ok((Keys::new(settings.admin_keys.clone(), settings.compat)?, AdminKey::Given));
    }
    let made = keys::load_or_create(&settings.data)?;
    let key = AdminKey::File { path: made.path, new: made.created };
    Ok((Keys::new(vec![keys::ConfiguredKey::admin(made.key)], settings.compat)?, key))
}

/// The data folder belongs to its owner alone.
fn prepare_folder(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    if !folder.exists() {
        return std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("could not make the data folder {}", folder.display()));
    }
    let mode = std::fs::metadata(folder)?.permissions().mode();
    if mode & 0o022 != 0 {
        bail!(
            "the data folder {} may be written by others (mode {:o}); run chmod 700 on it, or name another with --data",
            folder.display(),
            mode & 0o777
        );
    }
    Ok(())
}

/// Wider than loopback, the chat side would be open to everybody.
fn refuse_wide_chat(settings: &Settings) -> anyhow::Result<()> {
    match settings.chat.iter().find(|address| !address.ip().is_loopback()) {
        Some(wide) if !settings.published_on_loopback => bail!(
            "the chat side has no authentication and would listen on {wide}; listen on 127.0.0.1, \
             or set chat.published_on_loopback: true where a container publishes it on 127.0.0.1 only"
        ),
        _ => Ok(()),
    }
}

fn attributes(settings: &Settings) -> Map<String, Value> {
    settings.plugin_attributes.clone()
}

fn server_name(settings: &Settings) -> String {
    if settings.compat.has(Behaviour::ApisixNames) {
        format!("APISIX/{APISIX_VERSION}")
    } else {
        concat!("Usher/", env!("CARGO_PKG_VERSION")).to_owned()
    }
}

fn proxy_options(settings: &Settings, own: &[SocketAddr]) -> anyhow::Result<usher_proxy::options::Options> {
    let mut options = usher_proxy::options::Options::default();
    options.listen.clone_from(&settings.proxy);
    options.workers = settings.workers;
    options.server = server_name(settings);
    options.compat = settings.compat;
    options.forbidden = own.to_vec();
    options.access_log.clone_from(&settings.access_log);
    options.router = if settings.router == "radixtree_uri" {
        usher_proxy::options::RouterMode::Uri
    } else {
        usher_proxy::options::RouterMode::HostUri
    };
    options.trusted_addresses = settings
        .trusted_addresses
        .iter()
        .map(|text| {
            usher_proxy::options::network(text)
                .with_context(|| format!("apisix.trusted_addresses: {text} is no address or network"))
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(options)
}

fn http_options(settings: &Settings, keys: Keys, addresses: &Addresses) -> HttpOptions {
    HttpOptions {
        keys,
        key_required: settings.admin_key_required,
        compat: settings.compat,
        server: server_name(settings),
        own_hosts: side::own_hosts(&addresses.admin),
    }
}
