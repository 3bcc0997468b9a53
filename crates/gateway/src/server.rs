//! A running server: store, proxy, Admin API, chat side and the ports beside them, started in the order in which they need each other.
//!
//! `serve` and `demo` both start one of these, so that the demo shows the real thing.

mod accept;
pub(crate) mod ports;
mod read_only;
mod side;
mod stores;
mod tls;

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
use usher_admin::status::Readiness;
use usher_pipeline::env::Process;
use usher_pipeline::registry::Registry;
use usher_proxy::Proxy;

use crate::settings::Settings;
use accept::Served;

/// How long requests in flight may take to end once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(240);

/// Where everything listens, once it does. Printed as one JSON line by `--print-addresses`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Addresses {
    pub(crate) proxy: Vec<SocketAddr>,
    pub(crate) admin: Vec<SocketAddr>,
    pub(crate) chat: Vec<SocketAddr>,
    pub(crate) metrics: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) control: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) status: Vec<SocketAddr>,
}

/// The server.
pub(crate) struct Server {
    addresses: Addresses,
    admin_key: AdminKey,
    service: Arc<Service>,
    proxy: Proxy,
    readiness: Arc<Readiness>,
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
    pub(crate) async fn start(mut settings: Settings) -> anyhow::Result<Self> {
        settings.settle().map_err(anyhow::Error::msg)?;
        refuse_wide_chat(&settings)?;
        let listens =
            [&settings.proxy, &settings.admin, &settings.chat, &settings.metrics, &settings.control];
        if listens.iter().all(|addresses| addresses.is_empty()) {
            bail!(
                "every listener is off, so nothing would be served; leave one of them on, such as --proxy-listen 127.0.0.1:9080"
            );
        }
        let admin_sockets = ports::bind("Admin API", "--admin-listen", &settings.admin)?;
        let chat_sockets = ports::bind("chat side", "--chat-listen", &settings.chat)?;
        let metrics_sockets = ports::bind("metrics", "--metrics-listen", &settings.metrics)?;
        let control_sockets = ports::bind("Control API", "--control-listen", &settings.control)?;
        let status_sockets = ports::bind("status API", "--status-listen", &settings.status)?;
        let tls = settings.admin_api.tls.as_ref().map(tls::acceptor).transpose()?;
        let own: Vec<SocketAddr> =
            [&admin_sockets, &chat_sockets, &metrics_sockets, &control_sockets, &status_sockets]
                .into_iter()
                .flat_map(|sockets| sockets.addresses())
                .collect();

        if let Some(wide) = settings.control.iter().find(|address| !address.ip().is_loopback()) {
            tracing::warn!(address = %wide, "the Control API asks for no key: whoever reaches this address reads the configuration");
        }

        // The first to answer: it tells how far the others are.
        let mut sides = side::Sides::default();
        let readiness = Arc::new(Readiness::default());
        let status = status_sockets.addresses();
        let name = settings.server_name();
        let hosts = side::keyless_hosts(&status);
        sides.serve(status_sockets, usher_admin::status::router(Arc::clone(&readiness), hosts, &name))?;

        prepare_folder(&settings.data)?;
        let registry = Arc::new(Registry::new(&plugins(&settings)));
        let (store, keyring) = stores::open(&settings, &registry).await?;
        let (keys, admin_key) = admin_keys(&settings)?;
        let process = Arc::new(Process::new(attributes(&settings), settings.compat, usher_proxy::targets()));

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

        let rules = Rules {
            consent_all: settings.consent_all,
            forbidden_nodes: own,
            probe_nodes: true,
            stream_mode: settings.admin_api.form.streams,
            ..Rules::default()
        };
        let parts =
            Parts { store, live: proxy.live(), registry, process: Arc::clone(&process), keyring, rules };
        let service =
            Arc::new(Service::start(parts).await.context("could not read the stored configuration")?);

        let addresses = Addresses {
            proxy: proxy.addresses(),
            admin: admin_sockets.addresses(),
            chat: chat_sockets.addresses(),
            metrics: metrics_sockets.addresses(),
            control: control_sockets.addresses(),
            status,
        };
        let admin =
            usher_admin::http::router(Arc::clone(&service), http_options(&settings, keys, &addresses));
        sides.serve_over(admin_sockets, Served { router: admin, tls })?;
        let chat = side::chat_router(&settings, &service, &addresses);
        sides.serve(chat_sockets, chat)?;
        sides.serve(metrics_sockets, side::metrics_router(process, &addresses.metrics))?;
        let hosts = side::keyless_hosts(&addresses.control);
        sides.serve(control_sockets, usher_admin::control::router(Arc::clone(&service), hosts, &name))?;
        readiness.serves(proxy.live(), service.revision());
        Ok(Self { addresses, admin_key, service, proxy, readiness, sides })
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

    /// Stops: the status API says so at once, requests in flight are answered, then everything closes.
    pub(crate) async fn stop(self) {
        self.readiness.stops();
        self.proxy.drain(DRAIN).await;
        self.sides.stop().await;
    }
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

/// The plugins that are on.
fn plugins(settings: &Settings) -> Vec<&'static usher_pipeline::spec::Spec> {
    let is_on = |name: &str| settings.plugins.as_ref().is_none_or(|on| on.iter().any(|known| known == name));
    usher_plugins::all().iter().copied().filter(|spec| is_on(spec.name)).collect()
}

fn proxy_options(settings: &Settings, own: &[SocketAddr]) -> anyhow::Result<usher_proxy::options::Options> {
    let mut options = usher_proxy::options::Options::default();
    options.listen.clone_from(&settings.proxy);
    options.workers = settings.workers;
    options.server = settings.server_name();
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
        key_required: settings.admin_key_required,
        compat: settings.compat,
        server: settings.server_name(),
        own_hosts: side::own_hosts(&addresses.admin),
        allowed: settings.admin_api.allowed.clone(),
        cors: !settings.admin_api.no_cors,
        form: settings.admin_api.form,
        ..HttpOptions::new(keys)
    }
}
