//! What a route asks beside path and method: the client's address, conditions over variables and, where the path is looked at first, the host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use ipnet::IpNet;
use usher_model::expr::Expr;
use usher_script::{Options, Script, ScriptError, condition};

use super::super::tree::Slot;
use super::{Asked, BodyWord};

/// Conditions that few routes have.
#[derive(Debug, Default)]
pub(in crate::config) struct Conditions {
    /// The client's networks; empty takes every client.
    pub(in crate::config) addresses: Box<[IpNet]>,
    /// The hosts, where the index doesn't look at them; empty takes every host.
    pub(in crate::config) hosts: Box<[Arc<str>]>,
    /// The condition over variables.
    pub(in crate::config) vars: Option<Expr>,
    /// The condition that is a script.
    pub(in crate::config) filter: Option<Script>,
    /// Whether variables of the request's body decide, which has to be read for it.
    pub(in crate::config) reads_body: bool,
}

/// A route's `filter_func`, compiled.
///
/// # Errors
/// The sentence of what is wrong with it.
pub(crate) fn filter(source: &str) -> Result<Script, String> {
    Script::condition("filter_func", source).map_err(|error| match error {
        ScriptError::NoFunction(_) => "'filter_func' should be a function".to_owned(),
        error => format!("failed to load 'filter_func' string: {error}"),
    })
}

impl Conditions {
    pub(super) fn admit(&self, asked: &Asked<'_>, route: &str) -> bool {
        self.admit_client(asked)
            && (self.hosts.is_empty() || self.hosts.iter().any(|host| HostPattern::of(host).admits(asked)))
            && (self.waits_for_body(asked)
                || (self.vars.as_ref().is_none_or(|vars| vars.eval(asked.variables))
                    && self.admit_script(asked, route)))
    }

    /// Whether the search has to end here for now, because the body decides and hasn't been read.
    fn waits_for_body(&self, asked: &Asked<'_>) -> bool {
        let waits = self.reads_body && asked.body == BodyWord::Unread;
        if waits {
            asked.wanted.set(true);
        }
        waits
    }

    fn admit_script(&self, asked: &Asked<'_>, route: &str) -> bool {
        let Some(script) = &self.filter else { return true };
        judged(script, asked).unwrap_or_else(|error| {
            if FILTERS.speaks() {
                tracing::error!(route, %error, "a filter_func failed, so that its route was passed over");
            }
            false
        })
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
        let vars = || self.vars.as_ref().and_then(|vars| vars.first_false(asked.variables));
        host.or_else(vars).or_else(|| match judged(self.filter.as_ref()?, asked) {
            Ok(true) => None,
            Ok(false) => Some("filter_func returned false".to_owned()),
            Err(error) => Some(format!("filter_func failed: {error}")),
        })
    }
}

fn judged(script: &Script, asked: &Asked<'_>) -> Result<bool, ScriptError> {
    let remote_addr = asked.client.to_canonical().to_string();
    let options =
        Options { host: asked.host, uri: asked.path, method: asked.method, remote_addr: &remote_addr };
    condition(script, asked.variables, options)
}

/// When somebody was last told of a script that failed: it may fail with every request.
static FILTERS: Spoken = Spoken(AtomicU64::new(0));

struct Spoken(AtomicU64);

impl Spoken {
    /// Whether a second has gone by since the last time.
    fn speaks(&self) -> bool {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = since.as_secs();
        self.0.swap(now, Ordering::Relaxed) != now
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
