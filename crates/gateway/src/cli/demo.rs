//! `usher demo`: a sample API, a gateway in front of it, and a conversation that sets it up.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::failure::See as _;
use super::options::ServerOptions;
use super::serve::print_addresses;
use super::signals::Signals;
use crate::demo::{conference, walk};
use crate::server::{AdminKey, Server};
use crate::settings::Settings;
use crate::terminal::{Style, say};

/// Options of `usher demo`.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// End after the conversation: status 0 when each step went well
    #[arg(long)]
    pub(crate) exit: bool,
}

impl Demo {
    /// Holds the conversation, then stays up unless told otherwise.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (settings, folder) = self.settings()?;
        let mut signals = Signals::listen()?;
        let api = conference::start().await?;
        let server = Server::start(settings, None).await?;
        if self.server.print_addresses {
            print_addresses(server.addresses())?;
        }
        let style = Style::detect();
        say(&opening(style, &server, api))?;
        let walked = tokio::select! {
            walked = walk::hold(&server, api, style) => walked,
            () = signals.end() => Err(anyhow::anyhow!("stopped in the middle of the walk")),
        };
        if walked.is_ok() && !self.exit {
            say(&closing(style, &server))?;
            signals.end().await;
        }
        server.stop().await;
        drop(folder);
        walked
    }

    /// Loopback everywhere and a temporary folder, unless the options say otherwise.
    fn settings(&self) -> anyhow::Result<(Settings, Option<TemporaryFolder>)> {
        let mut settings = self.server.settings().see("settings")?;
        let listens_by_itself = self.server.config.is_none() && self.server.proxy_listen.is_empty();
        if listens_by_itself {
            settings.proxy = vec![([127, 0, 0, 1], 9080).into()];
        }
        if self.server.data.is_some() || self.server.config.is_some() {
            return Ok((settings, None));
        }
        let folder = TemporaryFolder::new()?;
        settings.data.clone_from(&folder.0);
        Ok((settings, Some(folder)))
    }
}

/// A new folder that is gone at the end.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let path = std::env::temp_dir().join(format!("usher-demo-{}-{unique}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| {
            format!("could not make the temporary folder {}; name one with --data", path.display())
        })?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "could not remove the temporary folder");
        }
    }
}

fn list(addresses: &[std::net::SocketAddr]) -> String {
    if addresses.is_empty() {
        return "off".to_owned();
    }
    addresses.iter().map(|address| format!("http://{address}")).collect::<Vec<_>>().join(", ")
}

/// How this program can be called from here.
fn program() -> String {
    let name = "usher".to_owned();
    let Ok(path) = std::env::current_exe() else { return name };
    let places = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&places).any(|place| path.parent() == Some(&place)) {
        return name;
    }
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).map_or_else(|_| path.display().to_string(), |below| below.display().to_string())
}

fn opening(style: Style, server: &Server, api: std::net::SocketAddr) -> String {
    let addresses = server.addresses();
    format!(
        "{}\n\n  conference API   http://{api}  (the sample backend)\n  gateway          {}\n  Admin API        {}\n  chat side        {}\n  metrics          {}\n",
        style.bold("Usher: an API gateway that one manages by talking to it"),
        list(&addresses.proxy),
        list(&addresses.admin),
        list(&addresses.chat),
        list(&addresses.metrics),
    )
}

fn closing(style: Style, server: &Server) -> String {
    let addresses = server.addresses();
    let first =
        |addresses: &[std::net::SocketAddr]| addresses.first().map(ToString::to_string).unwrap_or_default();
    let (proxy, admin, chat, metrics) =
        (first(&addresses.proxy), first(&addresses.admin), first(&addresses.chat), first(&addresses.metrics));
    let key = match server.admin_key() {
        AdminKey::File { path, .. } => format!("-H \"X-API-KEY: $(cat {})\" ", path.display()),
        AdminKey::Given => "-H \"X-API-KEY: $USHER_ADMIN_KEY\" ".to_owned(),
        AdminKey::NotRequired => String::new(),
    };
    let usher = program();
    format!(
        "{}\n\n  \
         curl http://{proxy}/speaker/1/sessions              the API through the gateway\n  \
         curl {key}http://{admin}/apisix/admin/routes\n  \
         {usher} chat --url http://{chat}                      go on talking (`help` lists what it understands)\n  \
         {usher} mcp --url http://{chat}                       MCP on standard input and output, for agents\n  \
         http://{chat}/mcp                                   the same over HTTP\n  \
         http://{chat}/.well-known/ai-plugin.json            the ChatGPT plugin\n  \
         http://{chat}/openapi.yaml                          its OpenAPI document\n  \
         curl http://{metrics}/apisix/prometheus/metrics     metrics\n\n\
         Ctrl-C ends it; everything it stored goes with it unless --data named a folder.",
        style.bold("It stays up. Try:"),
    )
}
