//! The HTTP servers beside the gateway: Admin API, chat side, metrics, Control API, status API. They run on the main runtime, away from the
//! workers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use tokio_util::task::TaskTracker;
use usher_admin::http::Form;
use usher_admin::oidc::Oidc;
use usher_admin::service::Service;
use usher_chat::ChatParts;
use usher_model::change::{Door, Principal, Role};
use usher_pipeline::env::Process;
use usher_proxy::handed::{Handed, Transport};

use super::Addresses;
use super::accept::{self, Served, Stops};
use super::ports::{Listening, Sockets};
use crate::settings::Settings;

/// How long answers in flight may take when the servers stop.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Servers, which are opened together, and may be paused.
#[derive(Default)]
pub(super) struct Sides {
    parts: Vec<Part>,
    tasks: TaskTracker,
    stops: Stops,
}

/// One of them.
struct Part {
    sockets: Sockets,
    served: Served,
    is_open: bool,
}

impl Sides {
    /// Adds a server of `router` on all of these sockets; it answers from [`Sides::open`] on.
    pub(super) fn add(&mut self, sockets: Sockets, router: Router) {
        self.add_over(sockets, Served { router, tls: None });
    }

    /// The same, over TLS where it is asked for.
    pub(super) fn add_over(&mut self, sockets: Sockets, served: Served) {
        self.parts.push(Part { sockets, served, is_open: false });
    }

    /// Opens those that aren't open yet.
    pub(super) fn open(&mut self) -> anyhow::Result<()> {
        for part in self.parts.iter_mut().filter(|part| !part.is_open) {
            part.is_open = true;
            for one in &part.sockets.listeners {
                let listener = one.listener.try_clone().and_then(tokio::net::TcpListener::from_std);
                let listener = listener.context("could not hand a socket to the runtime")?;
                let (served, stops) = (part.served.clone(), self.stops.clone());
                self.tasks.spawn(accept::serve(listener, served, stops, self.tasks.clone()));
            }
        }
        Ok(())
    }

    /// Their sockets, for another process.
    pub(super) fn handed(&self) -> io::Result<Vec<Handed>> {
        let all = self.parts.iter().flat_map(|part| &part.sockets.listeners);
        let handed = |one: &Listening| {
            let sockets = vec![one.listener.try_clone()?.into()];
            Ok(Handed { purpose: one.side.to_owned(), transport: Transport::Tcp, asked: one.asked, sockets })
        };
        all.map(handed).collect()
    }

    /// Takes no more connections and ends those that are there; answers in flight are sent. New clients wait in the sockets until they are opened
    /// again, here or by whoever has the sockets as well.
    pub(super) async fn pause(&mut self) {
        self.stops.stop.cancel();
        self.tasks.close();
        // A stream that a client keeps open must not hold the end up.
        if tokio::time::timeout(ENDS_WITHIN, self.tasks.wait()).await.is_err() {
            tracing::info!("closed connections of the admin side that were still open");
        }
        self.stops.cut.cancel();
        (self.tasks, self.stops) = Default::default();
        self.parts.iter_mut().for_each(|part| part.is_open = false);
    }

    /// Stops them; answers in flight are sent, idle connections closed.
    pub(super) async fn stop(mut self) {
        // Nobody waits in a socket that no one will accept from.
        self.parts.clear();
        self.pause().await;
    }
}

/// The chat side's router, with the Admin API's paths as the principal `local-plugin`, and the console where it stands here too.
pub(super) fn chat_router(
    settings: &Settings,
    service: &Arc<Service>,
    addresses: &Addresses,
    console: Router,
    oidc: Option<Arc<Oidc>>,
) -> Router {
    let principal = Principal::new("local-plugin", Role::Chat, Door::Plugin);
    let admin_paths = usher_admin::http::admin_paths(Arc::clone(service), principal, chat_form(settings));
    let port = addresses.chat.first().map_or(5000, SocketAddr::port);
    let public_url = settings.public_url.clone().unwrap_or_else(|| format!("http://localhost:{port}"));
    usher_chat::router(ChatParts {
        service: Arc::clone(service),
        public_url,
        admin_paths,
        allowed_hosts: own_hosts(&addresses.chat),
        token_required: settings.chat_token_required,
        verification_tokens: settings.verification_tokens.clone(),
        oauth: settings.oauth,
        oidc,
        limits: settings.chat_limits,
        toolsets: settings.chat_toolsets.clone(),
        console,
    })
}

/// The chat side speaks of resources as its tools do, whatever the Admin API's clients are used to.
fn chat_form(settings: &Settings) -> Form {
    Form { streams: settings.admin_api.form.streams, ..Form::default() }
}

/// The names of a port that asks for no key; none, which admits every name, where it listens wider than loopback.
pub(super) fn keyless_hosts(addresses: &[SocketAddr]) -> Vec<String> {
    let wide = addresses.iter().any(|address| !address.ip().is_loopback());
    if wide { Vec::new() } else { own_hosts(addresses) }
}

/// The names under which a listener may be asked on loopback; another `Host` is a page that was tricked into calling us.
pub(super) fn own_hosts(addresses: &[SocketAddr]) -> Vec<String> {
    let mut hosts = Vec::new();
    for address in addresses {
        for name in ["localhost", "127.0.0.1", "[::1]"] {
            hosts.push(format!("{name}:{}", address.port()));
        }
        hosts.push(address.to_string());
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Metrics, as Prometheus reads them; everything else is 404. On loopback a foreign `Host` is refused, because no key is asked for.
pub(super) fn metrics_router(process: Arc<Process>, path: &str, addresses: &[SocketAddr]) -> Router {
    let hosts = own_hosts(addresses);
    let open = addresses.iter().any(|address| !address.ip().is_loopback());
    let metrics = move |headers: HeaderMap| {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let known = open || hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
        let answer = if known {
            let text = usher_plugins::prometheus::render(&process);
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        } else {
            StatusCode::MISDIRECTED_REQUEST.into_response()
        };
        async move { answer }
    };
    Router::new().route(path, get(metrics)).fallback(|| async { StatusCode::NOT_FOUND })
}
