//! `usher sample-api`: the sample Conference API alone, to try routes against.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::http::HeaderValue;
use clap::Args;

use super::signals::Signals;
use crate::demo::conference;
use crate::settings::{Listen, parse_listen};
use crate::terminal::{note, say};

/// Options of `usher sample-api`.
#[derive(Args, Debug)]
pub(crate) struct SampleApi {
    /// Where it listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1980", value_parser = parse_listen)]
    listen: Listen,
    /// Say this name in the header X-Served-By of each answer, to tell several of them apart
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<HeaderValue>,
    /// Once it listens, print one JSON line with the real address
    #[arg(long)]
    print_addresses: bool,
}

fn parse_name(text: &str) -> Result<HeaderValue, String> {
    text.parse().map_err(|_| format!("{text:?} can't stand in a header: take letters, digits and spaces"))
}

impl SampleApi {
    /// Serves until a signal asks for the end.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let Listen::On(wanted) = self.listen else {
            anyhow::bail!("the sample API has nothing else to do than to listen: give --listen an address");
        };
        let mut signals = Signals::listen()?;
        let listener = tokio::net::TcpListener::bind(wanted).await.with_context(|| {
            format!("the sample API can't listen on {wanted}; name another place with --listen, such as 127.0.0.1:0")
        })?;
        let address = listener.local_addr()?;
        if self.print_addresses {
            say(&serde_json::json!({ "api": [address] }).to_string())?;
        } else {
            note(&format!("the sample API listens: curl http://{address}/speaker/1/sessions"));
        }
        let router = conference::router(&links(address), self.name.as_ref());
        tokio::select! {
            () = conference::serve::forever(listener, router) => {}
            () = signals.end() => {}
        }
        Ok(())
    }
}

/// What links in answers begin with: nothing where it listens everywhere and so can't know its own name.
fn links(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { String::new() } else { address.to_string() }
}
