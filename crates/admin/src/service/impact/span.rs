//! Which requests a route takes, compared with another: whether something falls out of its span.

use ipnet::IpNet;

use super::route::Seen;

/// By what `after` takes fewer requests than `before`; `None` where it takes all of them. Where it can't be known cheaply, as between two
/// conditions, it counts as fewer. Priority and being switched on are left out.
pub(super) fn fewer(before: &Seen, after: &Seen) -> Option<&'static str> {
    let takes_path = |uri: &str| after.route.uris().any(|pattern| covers_path(pattern, uri));
    if !before.route.uris().all(takes_path) {
        return Some("its paths change");
    }
    let takes_host = |host: &String| after.hosts.iter().any(|pattern| covers_host(pattern, host));
    if !after.hosts.is_empty() && (before.hosts.is_empty() || !before.hosts.iter().all(takes_host)) {
        return Some("its hosts change");
    }
    if !after.covers_methods(before) {
        return Some("its methods change");
    }
    let clients = IpNet::aggregate(&after.route.remote_addrs().collect::<Vec<_>>());
    let takes_client = |net: IpNet| clients.iter().any(|wide| wide.contains(&net));
    let mut were = before.route.remote_addrs().peekable();
    if !clients.is_empty() && (were.peek().is_none() || !were.all(takes_client)) {
        return Some("its client addresses change");
    }
    let condition = after.condition();
    (condition.is_some() && condition != before.condition()).then_some("its condition changes")
}

/// Whether a host pattern takes all that another takes.
pub(super) fn covers_host(pattern: &str, host: &str) -> bool {
    pattern == host || pattern.strip_prefix('*').is_some_and(|suffix| host.ends_with(suffix))
}

fn covers_path(pattern: &str, uri: &str) -> bool {
    pattern == uri
        || pattern
            .strip_suffix('*')
            .is_some_and(|prefix| uri.strip_suffix('*').unwrap_or(uri).starts_with(prefix))
}
