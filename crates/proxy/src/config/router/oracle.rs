//! Which route a request takes, by looking at every route: written from the contract's words alone, to compare the index with.

use std::cmp::Reverse;
use std::net::IpAddr;

use crate::options::RouterMode;

/// A route as a test writes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) uris: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) priority: i64,
    /// Only clients of 10.0.0.0/8.
    pub(super) inside: bool,
    /// The value that the argument `v` has to have.
    pub(super) argument: Option<String>,
    pub(super) order: u64,
}

/// A request as a test writes it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) host: String,
    pub(super) path: String,
    pub(super) method: String,
    pub(super) client: IpAddr,
    pub(super) argument: Option<String>,
}

/// The place in `routes` of the route that the request takes.
pub(super) fn choose(mode: RouterMode, routes: &[Written], request: &Request) -> Option<usize> {
    let mut tries = Vec::new();
    for (at, route) in routes.iter().enumerate() {
        let hosts: Vec<Option<&str>> = if route.hosts.is_empty() {
            vec![None]
        } else {
            route.hosts.iter().map(|host| Some(host.as_str())).collect()
        };
        for host in hosts {
            for uri in &route.uris {
                if fits(mode, route, host, uri, request) {
                    let host = if mode == RouterMode::HostUri { host_rank(host) } else { (0, 0) };
                    let special: &[char] =
                        if mode == RouterMode::UriWithParameter { &['*', ':'] } else { &['*'] };
                    let text = uri.split(special).next().unwrap().len();
                    let path = (!uri.contains(special), text);
                    tries.push(((host, path, route.priority, uri.len(), Reverse(route.order)), at));
                }
            }
        }
    }
    tries.into_iter().max().map(|(_, at)| at)
}

fn fits(mode: RouterMode, route: &Written, host: Option<&str>, uri: &str, request: &Request) -> bool {
    let known = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"];
    let method = route.methods.is_empty()
        || (known.contains(&request.method.as_str()) && route.methods.contains(&request.method));
    let client = !route.inside || matches!(request.client, IpAddr::V4(ip) if ip.octets()[0] == 10);
    let argument = route.argument.is_none() || route.argument == request.argument;
    let host = host.is_none_or(|host| match host.strip_prefix('*') {
        Some(end) => request.host.ends_with(end),
        None => request.host == host,
    });
    let path = if mode == RouterMode::UriWithParameter && uri.contains(':') {
        let before = uri.split([':', '*']).next().unwrap();
        let pattern: Vec<&str> = uri.split('/').collect();
        let parts: Vec<&str> = request.path.split('/').collect();
        request.path.starts_with(before) && segments_fit(&pattern, &parts)
    } else {
        path_fits(uri, &request.path)
    };
    method && client && argument && host && path
}

/// Segment by segment, trying every length of every wildcard.
fn segments_fit(pattern: &[&str], parts: &[&str]) -> bool {
    let Some((wanted, rest)) = pattern.split_first() else { return parts.is_empty() };
    if wanted.starts_with('*') {
        return (1..=parts.len()).any(|taken| segments_fit(rest, &parts[taken..]));
    }
    let Some((found, behind)) = parts.split_first() else { return false };
    if wanted.starts_with(':') {
        return !found.is_empty() && segments_fit(rest, behind);
    }
    if rest.is_empty()
        && let Some(start) = wanted.strip_suffix('*')
    {
        return found.starts_with(start);
    }
    wanted == found && segments_fit(rest, behind)
}

/// Exact hosts first, then wildcards by length, then routes that name none.
fn host_rank(host: Option<&str>) -> (u8, usize) {
    match host {
        None => (0, 0),
        Some(host) if host.starts_with('*') => (1, host.len()),
        Some(_) => (2, 0),
    }
}

fn path_fits(pattern: &str, path: &str) -> bool {
    let Some(star) = pattern.find('*') else { return pattern == path };
    let before = &pattern[..star];
    let is_middle = pattern[star..].contains('/');
    if !is_middle || !(before.is_empty() || before.ends_with('/')) {
        return path.starts_with(before);
    }
    // Segments that begin with a star stand for anything; so does a star at the very end.
    let mut parts = Vec::new();
    for (at, segment) in pattern.split('/').enumerate() {
        if at > 0 {
            parts.push(Some('/'));
        }
        if segment.starts_with('*') {
            parts.push(None);
        } else {
            parts.extend(segment.chars().map(Some));
        }
    }
    if parts.last() == Some(&Some('*')) {
        parts.pop();
        parts.push(None);
    }
    glob(&parts, &path.chars().collect::<Vec<_>>())
}

fn glob(parts: &[Option<char>], path: &[char]) -> bool {
    match (parts.split_first(), path.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((None, rest)), None) => glob(rest, path),
        (Some((None, rest)), Some((_, behind))) => glob(rest, path) || glob(parts, behind),
        (Some((Some(_), _)), None) => false,
        (Some((Some(wanted), rest)), Some((found, behind))) => wanted == found && glob(rest, behind),
    }
}
