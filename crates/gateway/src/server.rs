//! A running server: store, proxy, Admin API, chat side and the ports beside them, started in the order in which they need each other.
//!
//! `serve` and `demo` both start one of these, so that the demo shows the real thing.

mod accept;
mod console;
mod handing;
mod pages;
pub(crate) mod ports;
mod read_only;
mod side;
pub(crate) mod stores;
mod strict;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::task::AbortOnDropHandle;
use usher_admin::http::HttpOptions;
use usher_admin::keys::{self, Keys};
use usher_admin::oidc::Oidc;
use usher_admin::service::{Parts, Rules, Service};
use usher_admin::status::Readiness;
use usher_model::secret::Secret;
use usher_pipeline::env::Process;
use usher_pipeline::registry::Registry;
use usher_proxy::{Moved, Proxy};
use usher_store::Store;

use crate::acme::Issuer;
use crate::cli::failure::See as _;
use crate::handover::Taking;
use crate::settings::Settings;
use accept::Served;
use console::Console;

/// How long requests in flight may take to end once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(240);

/// Where everything listens, once it does. Printed as one JSON line by `--print-addresses`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Addresses {
    pub(crate) proxy: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tls: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) behind_balancer: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) stream: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) stream_udp: Vec<SocketAddr>,
    pub(crate) admin: Vec<SocketAddr>,
    pub(crate) chat: Vec<SocketAddr>,
    pub(crate) metrics: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) control: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) status: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) gateways: Vec<SocketAddr>,
}

/// The server.
pub(crate) struct Server {
    addresses: Addresses,
    admin_key: AdminKey,
    /// What makes the first user of the console, where there is none yet.
    setup_code: Option<Secret<String>>,
    service: Arc<Service>,
    store: Arc<dyn Store>,
    proxy: Proxy,
    readiness: Arc<Readiness>,
    sides: side::Sides,
    /// The store and what else only one process may have were let go of.
    released: bool,
    /// Follows the store for what has to go with what ended by itself; stops with the server.
    _attending: AbortOnDropHandle<()>,
    /// Orders certificates, where the settings name any.
    _issuing: Option<AbortOnDropHandle<()>>,
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
    ///
    /// With `taking`, it takes over from a process that still serves: with its sockets and its store, and answering once that one says so.
    pub(crate) async fn start(mut settings: Settings, taking: Option<&Taking>) -> anyhow::Result<Self> {
        let inherited = taking.map(|taking| Arc::clone(taking.inherited())).unwrap_or_default();
        settings.settle().map_err(anyhow::Error::msg).see("settings")?;
        refuse_wide_chat(&settings).see("open_chat_side")?;
        let console = Console::of(&settings)?;
        let listens = [
            &settings.proxy,
            &settings.tls.listen,
            &settings.behind_balancer.listen,
            &settings.behind_balancer.tls_listen,
            &settings.admin,
            &settings.chat,
            &settings.metrics,
            &settings.control,
        ];
        let no_streams = settings.streams.tcp.is_empty() && settings.streams.udp.is_empty();
        if no_streams && listens.iter().all(|addresses| addresses.is_empty()) {
            bail!(
                "every listener is off, so nothing would be served; leave one of them on, such as --proxy-listen 127.0.0.1:9080"
            );
        }
        let bind = |side: &'static str, option, addresses: &[SocketAddr]| {
            ports::bind(side, option, addresses, &inherited).see("listeners")
        };
        let admin_sockets = bind("Admin API", "--admin-listen", &settings.admin)?;
        let chat_sockets = bind("chat side", "--chat-listen", &settings.chat)?;
        let metrics_sockets = bind("metrics", "--metrics-listen", &settings.metrics)?;
        let control_sockets = bind("Control API", "--control-listen", &settings.control)?;
        let status_sockets = bind("status API", "--status-listen", &settings.status)?;
        let gateway_sockets = bind("other gateways", "listen.gateways", &settings.gateways)?;
        let tls = settings.admin_api.tls.as_ref().map(tls::acceptor).transpose()?;
        let all = [
            ("Admin API", &admin_sockets),
            ("chat side", &chat_sockets),
            ("metrics", &metrics_sockets),
            ("Control API", &control_sockets),
            ("status API", &status_sockets),
            ("other gateways", &gateway_sockets),
        ];
        let named: Vec<(&'static str, SocketAddr)> = all
            .into_iter()
            .flat_map(|(name, sockets)| sockets.addresses().into_iter().map(move |address| (name, address)))
            .collect();
        let own: Vec<SocketAddr> = named.iter().map(|(_, address)| *address).collect();

        if let Some(wide) = settings.control.iter().find(|address| !address.ip().is_loopback()) {
            tracing::warn!(address = %wide, "the Control API asks for no key: whoever reaches this address reads the configuration");
        }

        // The first to answer: it tells how far the others are.
        let mut sides = side::Sides::default();
        let readiness = Arc::new(Readiness::default());
        let status = status_sockets.addresses();
        let name = settings.server_name();
        let hosts = side::keyless_hosts(&status);
        sides.add(status_sockets, usher_admin::status::router(Arc::clone(&readiness), hosts, &name));
        if taking.is_none() {
            sides.open()?;
        }

        prepare_folder(&settings.data)?;
        let registry = Arc::new(registry(&settings));
        if let Some(taking) = taking {
            taking.store().await?;
        }
        let (store, keyring) = stores::open(&settings, &registry).await.see("store")?;
        let (keys, admin_key) = admin_keys(&settings).see("keys")?;
        let process = Arc::new(Process::new(attributes(&settings), settings.compat, usher_proxy::targets()));

        let options = usher_proxy::options::Options {
            inherited: Arc::clone(&inherited),
            waits: taking.is_some(),
            ..proxy_options(&settings, &own)?
        };
        let proofs = Arc::clone(&options.proofs);
        let proxy = Proxy::start(
            options,
            Arc::clone(&registry),
            Arc::clone(&process),
            Arc::clone(&store),
            Arc::clone(&keyring),
        )
        .await
        .map_err(|error| ports::explain_proxy(error, &settings))
        .see("listeners")?;

        let rules = Rules {
            consent_all: settings.consent_all,
            forbidden_nodes: own,
            probe_nodes: true,
            stream_mode: settings.admin_api.form.streams,
            taken_names: keys.names().into_iter().chain([crate::acme::NAME.to_owned()]).collect(),
            sides: named,
            calls: Some(settings.data.clone()),
            gateways: settings.other_gateways.clone(),
            console_url: console.url(&settings, &admin_sockets.addresses(), &chat_sockets.addresses()),
            ..Rules::default()
        };
        let parts = Parts {
            store: Arc::clone(&store),
            live: proxy.live(),
            registry,
            process: Arc::clone(&process),
            keyring,
            rules,
        };
        let service =
            Arc::new(Service::start(parts).await.context("could not read the stored configuration")?);

        let attended = Arc::clone(&service);
        let attending = AbortOnDropHandle::new(tokio::spawn(async move { attended.attend().await }));

        let addresses = Addresses {
            proxy: proxy.addresses(),
            tls: proxy.tls_addresses(),
            behind_balancer: proxy.balancer_addresses(),
            stream: proxy.stream_addresses(),
            stream_udp: proxy.datagram_addresses(),
            admin: admin_sockets.addresses(),
            chat: chat_sockets.addresses(),
            metrics: metrics_sockets.addresses(),
            control: control_sockets.addresses(),
            status,
            gateways: gateway_sockets.addresses(),
        };
        let has_console = console.on_admin || console.on_chat;
        let setup_code =
            if has_console && service.knows_no_user() { usher_admin::api::setup_code() } else { None };
        let oidc = console.provider(&settings, &addresses.admin, &addresses.chat)?;
        let mut options = http_options(&settings, keys, &addresses, &service, oidc.clone())?;
        options.setup_code.clone_from(&setup_code);
        if has_console {
            options.beside = usher_console::router();
        }
        let admin = usher_admin::http::routers(Arc::clone(&service), options);
        sides.add_over(admin_sockets, Served { router: admin.port, tls });
        let beside = if console.on_chat { admin.console } else { Router::new() };
        let chat = side::chat_router(&settings, &service, &addresses, beside, oidc);
        sides.add(chat_sockets, chat);
        sides.add(metrics_sockets, side::metrics_router(process, &settings.metrics_path, &addresses.metrics));
        let hosts = side::keyless_hosts(&addresses.control);
        sides.add(control_sockets, usher_admin::control::router(Arc::clone(&service), hosts, &name));
        sides.add(gateway_sockets, usher_admin::gateways::router(Arc::clone(&service)));
        if let Some(taking) = taking {
            taking.ready().await?;
            proxy.open();
        }
        sides.open()?;
        let issuing = settings.acme.clone().map(|acme| {
            let issuer = Issuer::new(acme, settings.data.clone(), Arc::clone(&service), proofs);
            AbortOnDropHandle::new(tokio::spawn(issuer.run()))
        });
        readiness.serves(proxy.live(), service.revision());
        Ok(Self {
            addresses,
            admin_key,
            setup_code,
            service,
            store,
            proxy,
            readiness,
            sides,
            released: false,
            _attending: attending,
            _issuing: issuing,
        })
    }

    /// Where everything listens.
    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where the admin key is.
    pub(crate) const fn admin_key(&self) -> &AdminKey {
        &self.admin_key
    }

    /// The one-time code for the first user of the console; `None` where there is a user, or no console.
    pub(crate) const fn setup_code(&self) -> Option<&Secret<String>> {
        self.setup_code.as_ref()
    }

    /// The only writer of the store.
    pub(crate) const fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Opens the access logs anew, which log rotation has moved away.
    pub(crate) fn reopen_logs(&self) {
        self.proxy.reopen_access_logs();
    }

    /// Takes up of newer settings what can change while it runs: where the gateway listens, where the access log goes and how its lines look. All
    /// of it, or nothing.
    pub(crate) async fn take_up(&self, newer: &Settings, taken: &Settings) -> anyhow::Result<Moved> {
        self.proxy.change_access_logs(newer.access_log.as_ref(), newer.stream_access_log.as_ref())?;
        let moved = match proxy_options(newer, &[]) {
            Ok(options) => {
                let moved = self.proxy.listen(&options).await;
                moved.map_err(|error| ports::explain_proxy(error, newer))
            }
            Err(error) => Err(error),
        };
        if moved.is_err() {
            // They were good before.
            self.proxy.change_access_logs(taken.access_log.as_ref(), taken.stream_access_log.as_ref())?;
        }
        moved
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
            return Err(anyhow::anyhow!(
                "deployment.admin.admin_key_required: false is for loopback only, but the Admin API would listen on {wide}; \
                 require a key, or listen on 127.0.0.1"
            ))
            .see("open_admin_side");
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

/// Wider than loopback, the chat side would be open to everybody, or take passwords that travel in clear.
fn refuse_wide_chat(settings: &Settings) -> anyhow::Result<()> {
    let has_tls = settings.public_url.as_ref().is_some_and(|url| url.starts_with("https://"));
    match settings.chat.iter().find(|address| !address.ip().is_loopback()) {
        Some(wide) if settings.oauth.is_some() && !has_tls && !settings.published_on_loopback => bail!(
            "chat.oauth asks for passwords, and the chat side would listen on {wide} without TLS; put TLS in front of it and write its https:// \
             address into chat.public_url, or listen on 127.0.0.1"
        ),
        Some(wide) if !settings.published_on_loopback && !settings.chat_token_required => bail!(
            "the chat side has no authentication and would listen on {wide}; listen on 127.0.0.1, \
             or set chat.token_required: true, or chat.published_on_loopback: true where a container publishes it on 127.0.0.1 only"
        ),
        _ => Ok(()),
    }
}

fn attributes(settings: &Settings) -> Map<String, Value> {
    let mut attributes = settings.plugin_attributes.clone();
    // Where plugins may keep files that nobody has named a place for.
    attributes.insert("data-folder".to_owned(), settings.data.to_string_lossy().into_owned().into());
    attributes
}

/// The plugins that are on, for requests and, where there are any, for connections of stream routes.
fn registry(settings: &Settings) -> Registry {
    let on = |names: &Option<Vec<String>>| -> Vec<_> {
        let is_on = |name: &str| names.as_ref().is_none_or(|on| on.iter().any(|known| known == name));
        usher_plugins::all().iter().copied().filter(|spec| is_on(spec.name)).collect()
    };
    let requests = on(&settings.plugins);
    let streams =
        if settings.admin_api.form.streams { on(&settings.stream_plugins) } else { requests.clone() };
    Registry::of(&requests, &streams)
}

fn proxy_options(settings: &Settings, own: &[SocketAddr]) -> anyhow::Result<usher_proxy::options::Options> {
    let mut options = usher_proxy::options::Options::default();
    options.listen.clone_from(&settings.proxy);
    options.tls.clone_from(&settings.tls);
    options.behind_balancer.clone_from(&settings.behind_balancer);
    options.streams.clone_from(&settings.streams);
    options.workers = settings.workers;
    options.server = settings.server_name();
    options.compat = settings.compat;
    options.forbidden = own.to_vec();
    options.access_log.clone_from(&settings.access_log);
    options.stream_access_log.clone_from(&settings.stream_access_log);
    options.series = Some(settings.data.join("traffic"));
    options.dns = settings.upstreams.dns.clone();
    options.health_checks = settings.upstreams.health_checks;
    options.discovery = settings.upstreams.discovery.clone();
    options.http2 = settings.http2;
    options.router = match settings.router.as_str() {
        "radixtree_uri" => usher_proxy::options::RouterMode::Uri,
        "radixtree_uri_with_parameter" => usher_proxy::options::RouterMode::UriWithParameter,
        _ => usher_proxy::options::RouterMode::HostUri,
    };
    options.paths = settings.paths;
    options.show_upstream_status = settings.show_upstream_status;
    options.debug = settings.debug;
    if let Some(most) = settings.most_connections {
        options.bounds.connections = most;
    }
    options.bounds.connections_per_client = settings.most_connections_per_client;
    options.bounds.memory_bytes = settings.most_memory_bytes;
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

fn http_options(
    settings: &Settings,
    keys: Keys,
    addresses: &Addresses,
    service: &Arc<Service>,
    oidc: Option<Arc<Oidc>>,
) -> anyhow::Result<HttpOptions> {
    // What was spent today outlives a restart.
    let purse =
        usher_chat::assistant::Purse::kept_in(settings.chat_budget, settings.data.join("chat-spent.json"));
    let model = settings.model().map_err(anyhow::Error::msg)?;
    let talk = usher_chat::talk::Chat::new(Arc::clone(service), model, purse);
    Ok(HttpOptions {
        key_required: settings.admin_key_required,
        compat: settings.compat,
        server: settings.server_name(),
        own_hosts: side::own_hosts(&addresses.admin),
        sessions: Some(settings.data.join("sessions")),
        console_hosts: console::names(settings),
        tls: settings.admin_api.tls.is_some(),
        allowed: settings.admin_api.allowed.clone(),
        cors: !settings.admin_api.no_cors,
        form: settings.admin_api.form,
        talk: Some(Arc::new(talk)),
        pages: pages::page,
        oidc,
        ..HttpOptions::new(keys)
    })
}
