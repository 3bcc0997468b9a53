//! What stands in front of the Admin API's own port: which addresses, hosts and pages may ask, CORS, and the name in `Server`.
//!
//! A page of somebody else's can make a browser on this machine send requests here. Its `Origin` gives it away; where no key protects us, so
//! does a `Host` that is none of ours; so it does for the console, whose sessions a browser brings along by itself.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;
use usher_model::compat::Behaviour;

use super::answer::Answer;
use super::hosts::{ForeignHost, Hosts, NEXT};
use super::options::HttpOptions;
use super::place::BASE;

/// The rules of one listener.
pub(crate) struct Front {
    own_hosts: Vec<String>,
    own_hosts_only: bool,
    open_to_pages: bool,
    allowed: Vec<IpNet>,
    product: &'static str,
    server: Option<HeaderValue>,
    /// What the port is called in sentences.
    port: &'static str,
    /// What a sentence to a foreign page ends with: how the port is opened to it, where it can be.
    opened_by: &'static str,
    /// Under which names the console is served; `None` where something else judges that.
    console: Option<Hosts>,
}

impl Front {
    /// The rules of the Admin API's port. Where no key is asked for, every other `Host` is refused.
    pub(super) fn of(options: &HttpOptions) -> Self {
        Self {
            own_hosts: options.own_hosts.clone(),
            own_hosts_only: !options.key_required,
            open_to_pages: options.cors && options.compat.has(Behaviour::AdminCors),
            allowed: options.allowed.clone(),
            product: super::product(options.compat),
            server: server(&options.server),
            port: "Admin API",
            opened_by: "; compat: [admin-cors] opens it to all pages",
            console: (options.key_required && !options.tls).then(|| Hosts::new(&options.console_hosts)),
        }
    }

    /// The rules of a port that asks for no key. `own_hosts` empty admits every name: for listeners that are reached under names of their own.
    pub(crate) fn keyless(port: &'static str, own_hosts: Vec<String>, name: &str) -> Self {
        Self {
            own_hosts_only: !own_hosts.is_empty(),
            own_hosts,
            open_to_pages: false,
            allowed: Vec::new(),
            product: "usher",
            server: server(name),
            port,
            opened_by: "",
            console: None,
        }
    }

    /// The page for whoever may not connect at all: nginx's, before anything else has looked at the request.
    fn turns_away(&self, request: &Request) -> Option<Answer> {
        if self.allowed.is_empty() {
            return None;
        }
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(peer)| peer.ip().to_canonical());
        let admitted = peer.is_some_and(|peer| self.allowed.iter().any(|net| net.contains(&peer)));
        (!admitted).then(|| Answer::page(StatusCode::FORBIDDEN, self.product))
    }

    /// The answer to a request that goes no further.
    fn stops(&self, request: &Request) -> Option<Answer> {
        let host = host(request.uri(), request.headers());
        if self.own_hosts_only && !host.as_deref().is_some_and(|host| self.is_own(host, "80")) {
            return Some(Answer::error(
                StatusCode::MISDIRECTED_REQUEST,
                format!(
                    "host \"{}\" is none of this {}'s own: where no key is asked for, it answers only as {}",
                    host.unwrap_or_default(),
                    self.port,
                    self.own_hosts.join(", ")
                ),
            ));
        }
        if let Some(ForeignHost(sentence)) = request.extensions().get()
            && is_page(request.uri().path())
        {
            return Some(Answer::error(StatusCode::MISDIRECTED_REQUEST, format!("{sentence}; {NEXT}")));
        }
        if self.opens(request) {
            return (*request.method() == Method::OPTIONS).then(|| Answer::empty(StatusCode::OK));
        }
        let origin = request.headers().get(header::ORIGIN)?;
        let origin = origin.to_str().unwrap_or_default();
        let own = origin.split_once("://").is_some_and(|(scheme, authority)| {
            let port = if scheme == "https" { "443" } else { "80" };
            self.is_own(authority, port) || host.as_deref().is_some_and(|host| same(host, authority, port))
        });
        (!own).then(|| {
            let sentence = format!("pages of \"{origin}\" may not use this {}{}", self.port, self.opened_by);
            Answer::error(StatusCode::FORBIDDEN, sentence)
        })
    }

    /// Whether every page may call this path.
    fn opens(&self, request: &Request) -> bool {
        self.open_to_pages && request.uri().path().starts_with(BASE)
    }

    fn is_own(&self, authority: &str, port: &str) -> bool {
        self.own_hosts.iter().any(|own| same(own, authority, port))
    }
}

/// Whether this is a path of the console's own files.
fn is_page(path: &str) -> bool {
    path.strip_prefix("/ui").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The header `Server`; none where the name is empty or can't be written.
fn server(name: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(name).ok().filter(|name| !name.is_empty())
}

/// Whether two authorities are the same, where `port` is the one that may be left out.
fn same(one: &str, other: &str, port: &str) -> bool {
    let bare = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_suffix(port).and_then(|rest| rest.strip_suffix(':')).map(str::to_owned).unwrap_or(text)
    };
    bare(one) == bare(other)
}

/// The authority that a request is for; `None` where it names none, or several.
pub(crate) fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if let Some(authority) = uri.authority() {
        return Some(authority.to_string());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let only = hosts.next()?.to_str().ok()?.to_owned();
    hosts.next().is_none().then_some(only)
}

/// Stops who may not connect at all, and leaves the rest to the port's own rules.
pub(crate) async fn admits(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    match front.turns_away(&request) {
        Some(away) => away.into_response(),
        None => next.run(request).await,
    }
}

/// Stops what may not in, and finishes the head of every answer.
pub(crate) async fn guard(State(front): State<Arc<Front>>, mut request: Request, next: Next) -> Response {
    let preflight = *request.method() == Method::OPTIONS;
    let away = front.turns_away(&request);
    let open = away.is_none() && front.opens(&request);
    if let Some(foreign) = front
        .console
        .as_ref()
        .and_then(|console| console.refuse(host(request.uri(), request.headers()).as_deref()))
    {
        request.extensions_mut().insert(foreign);
    }
    let mut response = match away.or_else(|| front.stops(&request)) {
        Some(answer) => answer.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    if open {
        set("access-control-allow-origin", "*");
        set("access-control-allow-credentials", "true");
        set("access-control-expose-headers", "*");
        set("access-control-max-age", "3600");
        if preflight {
            set("access-control-allow-methods", "POST, GET, PUT, OPTIONS, DELETE, PATCH");
            set("access-control-allow-headers", "*");
            set("content-length", "0");
            set("content-type", "text/plain");
        }
    }
    if let Some(server) = &front.server {
        headers.insert(header::SERVER, server.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn a_default_port_may_be_left_out() {
        for (one, other, port, wanted) in [
            ("localhost:9180", "LOCALHOST:9180", "80", true),
            ("localhost:80", "localhost", "80", true),
            ("localhost:443", "localhost", "443", true),
            ("localhost:443", "localhost", "80", false),
            ("localhost:9180", "localhost", "80", false),
            ("localhost:9180", "localhost:918", "80", false),
            ("[::1]:9180", "[::1]:9180", "80", true),
            ("localhost:9180", "localhost:9180.evil.test", "80", false),
        ] {
            assert_eq!(same(one, other, port), wanted, "{one} {other}");
        }
    }
}
