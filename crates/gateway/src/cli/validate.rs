//! `usher validate`: documents are checked without a server, by the schemas and plugins of this very program.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Map;
use usher_admin::keys;
use usher_admin::service::{Parts, Rules, Service, ServiceError};
use usher_model::compat::{Behaviour, Compat};
use usher_model::live::{Live, NotInForce};
use usher_pipeline::env::Process;
use usher_pipeline::registry::Registry;
use usher_store::memory::Memory;

use super::failure::{Code, Failure};
use super::files;
use super::output::clean;
use crate::terminal::{self, say};

/// Mistakes that are told at most.
const MOST: usize = 100;

/// Options of `usher validate`.
#[derive(Args, Debug)]
pub(crate) struct Validate {
    /// Usher's own YAML, APISIX's standalone file, or ADC's; a folder stands for all files in it, `-` for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Check as a server with `compat: apisix` does
    #[arg(long)]
    compat_apisix: bool,
}

impl Validate {
    /// Checks every object. What a document can't be is told first, with its line; then all that the plugins refuse.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let read = files::read(&self.files)?;
        for warning in &read.warnings {
            terminal::complain(&format!("warning: {}", clean(warning)));
        }
        let service = service(self.compat_apisix).await?;
        let count = read.objects.len();
        let (mut wrong, mut masks) = (Vec::new(), 0);
        for (key, value) in read.objects {
            match service.check_masked(&key, value).await {
                Ok(found) => masks += found,
                Err(ServiceError::Invalid { sentence, pointer, .. }) => {
                    let place = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
                    wrong.push(format!("{key}{place}: {sentence}"));
                }
                Err(error) => wrong.push(format!("{key}: {error}")),
            }
        }
        if masks > 0 {
            terminal::note(&format!(
                "{masks} secrets are masks, which only the Usher that wrote them knows: they were not looked at"
            ));
        }
        if wrong.is_empty() {
            return say(&format!("{count} objects are good; `usher diff` checks what they refer to"));
        }
        let found = wrong.len();
        wrong.truncate(MOST);
        let mut lines: Vec<String> = wrong.iter().map(|line| clean(line)).collect();
        if found > MOST {
            lines.push(format!("and {} more", found - MOST));
        }
        Err(Failure::new(
            Code::Refused,
            format!("{found} of {count} objects are not good:\n  {}", lines.join("\n  ")),
        )
        .next("mend them, and validate again")
        .into())
    }
}

/// A service that nobody is behind: an empty store, and a proxy that serves nothing.
async fn service(apisix: bool) -> anyhow::Result<Service> {
    let all =
        || Behaviour::ALL.into_iter().fold(Compat::NONE, |compat, (_, behaviour)| compat.with(behaviour));
    let compat = if apisix { all() } else { Compat::NONE };
    let parts = Parts {
        store: Arc::new(Memory::new()),
        live: Arc::new(Nobody),
        registry: Arc::new(Registry::new(usher_plugins::all())),
        process: Arc::new(Process::new(Map::new(), compat, usher_proxy::targets())),
        keyring: Arc::new(keys::ephemeral_keyring()?),
        // Whether stream routes are served is a matter of the server's settings, which a file doesn't know.
        rules: Rules { probe_nodes: false, stream_mode: true, ..Rules::default() },
    };
    Ok(Service::start(parts).await?)
}

/// A proxy that serves nothing.
struct Nobody;

impl Live for Nobody {
    fn revision(&self) -> u64 {
        0
    }

    fn wait_in_force(&self, wanted: u64, _: Duration) -> BoxFuture<'_, Result<(), NotInForce>> {
        async move { Err(NotInForce { wanted, served: 0 }) }.boxed()
    }
}
