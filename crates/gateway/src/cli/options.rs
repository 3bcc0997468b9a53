//! The options that `serve` and `demo` share, and how they are laid over the settings file and the environment.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use usher_admin::keys::{ConfiguredKey, Keys};
use usher_model::secret::Secret;
use usher_proxy::options::StreamListen;

use crate::settings::{self, Listen, Settings, StoreKind, parse_listen, parse_store};

/// What a server is started with.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServerOptions {
    /// Read settings from this file (YAML, APISIX's names where it has them)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Keep store, keys and logs in this folder [default: usher-data; demo: a new temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where the configuration is kept: embedded, memory, file:PATH, etcd://HOST:2379,HOST2:2379/PREFIX, etcds://..., or a running APISIX as
    /// apisix+http://HOST:9180 or apisix+https://... with its admin key in USHER_APISIX_KEY [default: embedded]
    #[arg(long, value_name = "STORE", value_parser = parse_store)]
    pub(crate) store: Option<StoreKind>,
    /// Take the keyring that seals secrets from this file, such as a secret of Kubernetes: for gateways that share a store
    #[arg(long, value_name = "FILE")]
    pub(crate) keyring_file: Option<PathBuf>,
    /// Worker threads of the gateway, 1 to 1024 [default: one per core]
    #[arg(long, value_name = "N", env = "USHER_WORKERS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// Where the gateway listens; may repeat; `off` for nowhere; port 0 takes a free one [default: 0.0.0.0:9080]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) proxy_listen: Vec<Listen>,
    /// Where the gateway speaks TLS, with the certificates of its ssls; may repeat [default: off]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) tls_listen: Vec<Listen>,
    /// Where stream routes take TCP connections; may repeat [default: off]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) stream_tcp: Vec<Listen>,
    /// The same with TLS, by the certificates of ssls; may repeat [default: off]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) stream_tls: Vec<Listen>,
    /// Where stream routes take UDP datagrams; may repeat [default: off]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) stream_udp: Vec<Listen>,
    /// Where the Admin API listens [default: 127.0.0.1:9180]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) admin_listen: Vec<Listen>,
    /// Where the chat side listens (ChatGPT plugin, MCP) [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) chat_listen: Vec<Listen>,
    /// Where metrics are served [default: 127.0.0.1:9091]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) metrics_listen: Vec<Listen>,
    /// Where the Control API listens [default: off]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) control_listen: Vec<Listen>,
    /// Where the status API listens, for probes of liveness and readiness [default: off]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) status_listen: Vec<Listen>,
    /// Once all listen, print one JSON line with the real addresses
    #[arg(long)]
    pub(crate) print_addresses: bool,
}

impl ServerOptions {
    /// The settings: defaults, then the file, then the environment, then these options.
    ///
    /// # Errors
    /// The file's or an option's mistake, by name.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = match &self.config {
            Some(path) => settings::read_file(path)?,
            None => Settings::default(),
        };
        if let Some(data) = &self.data {
            settings.data.clone_from(data);
        }
        if let Some(file) = &self.keyring_file {
            settings.keyring_file = Some(file.clone());
        }
        if let Some(store) = &self.store {
            settings.store.clone_from(store);
        }
        if let Some(workers) = self.workers {
            settings.workers = usize::from(workers);
        }
        let listeners = [
            ("--proxy-listen", &self.proxy_listen, &mut settings.proxy),
            ("--tls-listen", &self.tls_listen, &mut settings.tls.listen),
            ("--admin-listen", &self.admin_listen, &mut settings.admin),
            ("--chat-listen", &self.chat_listen, &mut settings.chat),
            ("--metrics-listen", &self.metrics_listen, &mut settings.metrics),
            ("--control-listen", &self.control_listen, &mut settings.control),
            ("--status-listen", &self.status_listen, &mut settings.status),
        ];
        for (option, given, place) in listeners {
            if !given.is_empty() {
                *place = settings::addresses(option, given).map_err(anyhow::Error::msg)?;
            }
        }
        self.streams(&mut settings)?;
        // The key is no command-line option: those are visible to every user of the machine.
        match std::env::var("USHER_ADMIN_KEY") {
            Ok(key) if !key.is_empty() => {
                settings.admin_keys = vec![ConfiguredKey::admin(Secret::new(key))];
                Keys::new(settings.admin_keys.clone(), settings.compat)
                    .context("USHER_ADMIN_KEY can't be used")?;
            }
            Ok(_) | Err(std::env::VarError::NotPresent) => {}
            Err(error) => return Err(error).context("USHER_ADMIN_KEY can't be read"),
        }
        Ok(settings)
    }

    /// Options about streams take the place of what the file says of that kind, and let stream routes be written.
    fn streams(&self, settings: &mut Settings) -> anyhow::Result<()> {
        let streams = &mut settings.streams;
        for (option, given, tls) in
            [("--stream-tcp", &self.stream_tcp, false), ("--stream-tls", &self.stream_tls, true)]
        {
            if !given.is_empty() {
                let addresses = settings::addresses(option, given).map_err(anyhow::Error::msg)?;
                streams.tcp.retain(|one| one.tls != tls);
                streams.tcp.extend(addresses.into_iter().map(|address| StreamListen { address, tls }));
            }
        }
        if !self.stream_udp.is_empty() {
            streams.udp =
                settings::addresses("--stream-udp", &self.stream_udp).map_err(anyhow::Error::msg)?;
        }
        settings.admin_api.form.streams |= !streams.tcp.is_empty() || !streams.udp.is_empty();
        Ok(())
    }
}
