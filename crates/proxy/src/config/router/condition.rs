//! What a route asks beside path and method: the client's address, conditions over variables and, where the path is looked at first, the host.

use std::sync::Arc;

use ipnet::IpNet;
use usher_model::expr::Expr;

use super::super::tree::Slot;
use super::Asked;

/// Conditions that few routes have.
#[derive(Debug, Default)]
pub(in crate::config) struct Conditions {
    /// The client's networks; empty takes every client.
    pub(in crate::config) addresses: Box<[IpNet]>,
    /// The hosts, where the index doesn't look at them; empty takes every host.
    pub(in crate::config) hosts: Box<[Arc<str>]>,
    /// The condition over variables.
    pub(in crate::config) vars: Option<Expr>,
}

impl Conditions {
    pub(super) fn admit(&self, asked: &Asked<'_>) -> bool {
        self.admit_client(asked)
            && (self.hosts.is_empty() || self.hosts.iter().any(|host| HostPattern::of(host).admits(asked)))
            && self.vars.as_ref().is_none_or(|vars| vars.eval(asked.variables))
    }

    fn admit_client(&self, asked: &Asked<'_>) -> bool {
        let client = asked.client.to_canonical();
        self.addresses.is_empty() || self.addresses.iter().any(|network| network.contains(&client))
    }

    pub(super) fn refusal(&self, asked: &Asked<'_>) -> Option<String> {
        if !self.admit_client(asked) {
            let wanted = listed(self.addresses.iter().map(ToString::to_string));
            return Some(format!("client address is {}, wanted {wanted}", asked.client));
        }
        let host = host_refusal(self.hosts.iter().map(|host| &**host), asked);
        host.or_else(|| self.vars.as_ref().and_then(|vars| vars.first_false(asked.variables)))
    }
}

/// Why the host doesn't fit any of these patterns, if it doesn't.
pub(super) fn host_refusal<'a>(
    hosts: impl Iterator<Item = &'a str> + Clone,
    asked: &Asked<'_>,
) -> Option<String> {
    let mut all = hosts.clone().map(HostPattern::of).peekable();
    if all.peek().is_none() || all.any(|host| host.admits(asked)) {
        return None;
    }
    let found = if asked.host.is_empty() { "absent" } else { asked.host };
    Some(format!("host is {found}, wanted {}", listed(hosts.map(str::to_owned))))
}

/// A host pattern. `*.foo.com` takes any depth below `foo.com`, `*foo.com` also `foo.com` itself, `*` everything.
pub(super) struct HostPattern<'a> {
    /// The host, or what it ends with.
    pub(super) text: &'a str,
    /// Whether the text is the whole host or, read backwards, the beginning of it.
    pub(super) slot: Slot,
}

impl<'a> HostPattern<'a> {
    /// A pattern in lower case.
    pub(super) fn of(pattern: &'a str) -> Self {
        match pattern.strip_prefix('*') {
            Some(text) => Self { text, slot: Slot::Prefix },
            None => Self { text: pattern, slot: Slot::Exact },
        }
    }

    fn admits(&self, asked: &Asked<'_>) -> bool {
        // A pattern with a port is compared with the `Host` header as it came.
        if has_port(self.text) {
            let header = asked.variables.variable("http_host");
            return header.is_some_and(|header| match self.slot {
                Slot::Exact => header.eq_ignore_ascii_case(self.text.as_bytes()),
                Slot::Prefix => header.to_ascii_lowercase().ends_with(self.text.as_bytes()),
            });
        }
        match self.slot {
            Slot::Exact => asked.host == self.text,
            Slot::Prefix => asked.host.ends_with(self.text),
        }
    }
}

fn has_port(host: &str) -> bool {
    let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    behind.contains(':')
}

/// `a`, or `one of a, b`; long lists are cut.
pub(super) fn listed(items: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 5;
    let items: Vec<String> = items.collect();
    match items.as_slice() {
        [one] => one.clone(),
        some if some.len() <= SHOWN => format!("one of {}", some.join(", ")),
        many => {
            let shown = many.get(..SHOWN).unwrap_or_default().join(", ");
            format!("one of {shown} and {} more", many.len() - SHOWN)
        }
    }
}
