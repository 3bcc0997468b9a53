//! What a route asks of requests, as the index files it.

use std::fmt;
use std::sync::Arc;

use usher_model::expr::Expr;
use usher_model::resource;
use usher_model::variables::{is_of_body, names_body};

use super::{Conditions, filter};
use crate::options::RouterMode;

/// What a route asks of requests.
#[derive(Debug, Default)]
pub(in crate::config) struct Rule {
    /// Its path patterns.
    pub(in crate::config) uris: Box<[Arc<str>]>,
    /// Its host patterns, or its service's, in lower case; empty takes every host.
    pub(in crate::config) hosts: Box<[Arc<str>]>,
    /// Its methods.
    pub(super) methods: Methods,
    /// Decides among routes of the same path; higher first.
    pub(super) priority: i64,
    /// Its place among all routes, which no other route has: older routes are tried first where nothing else decides.
    pub(super) order: u64,
    /// What it asks beside that.
    pub(super) conditions: Option<Arc<Conditions>>,
}

/// The longest host that DNS knows, with room for a wildcard.
const LONGEST_HOST: usize = 255;

impl Rule {
    /// The rule of a route. `hosts` are its service's, for a route that has none.
    ///
    /// # Errors
    /// The sentence of the condition that can't be used.
    pub(in crate::config) fn of(
        route: &resource::Route,
        hosts: &[Arc<str>],
        mode: RouterMode,
        order: u64,
    ) -> Result<Self, String> {
        let uris: Box<[Arc<str>]> = route.uris().map(Arc::from).collect();
        if uris.is_empty() {
            return Err("it names no path; give it `uri` or `uris`".to_owned());
        }
        let own = hosts_of(route.hosts())?;
        let hosts: Box<[Arc<str>]> = if own.is_empty() { hosts.into() } else { own };
        let vars = route.vars.as_ref().filter(|vars| vars.as_array().is_none_or(|items| !items.is_empty()));
        let vars = vars
            .map(Expr::parse)
            .transpose()
            .map_err(|error| format!("failed to validate the 'vars' expression: {error}"))?;
        let addresses: Box<[_]> = route.remote_addrs().collect();
        let asked_hosts: Box<[_]> = if mode == RouterMode::HostUri { Box::default() } else { hosts.clone() };
        let filter = route.filter_func.as_deref().map(filter).transpose()?;
        let some = !addresses.is_empty() || !asked_hosts.is_empty() || vars.is_some() || filter.is_some();
        let reads_body = vars.as_ref().is_some_and(|vars| vars.names().any(is_of_body))
            || route.filter_func.as_deref().is_some_and(names_body);
        let conditions =
            some.then(|| Arc::new(Conditions { addresses, hosts: asked_hosts, vars, filter, reads_body }));
        Ok(Self {
            uris,
            hosts,
            methods: Methods::of(&route.methods),
            priority: route.priority,
            order,
            conditions,
        })
    }
}

/// Host patterns in lower case.
///
/// # Errors
/// The first that is longer than any host.
pub(in crate::config) fn hosts_of<'a>(
    hosts: impl Iterator<Item = &'a str>,
) -> Result<Box<[Arc<str>]>, String> {
    hosts
        .map(|host| {
            if host.len() > LONGEST_HOST {
                return Err(format!("a host has at most {LONGEST_HOST} characters, but {host} is longer"));
            }
            Ok(host.to_ascii_lowercase().into())
        })
        .collect()
}

/// A set of methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct Methods(u16);

/// The methods that a route may name, each with its bit; the most frequent ones first.
const NAMES: [(&str, u16); 10] = [
    ("GET", 1),
    ("POST", 1 << 1),
    ("PUT", 1 << 2),
    ("DELETE", 1 << 3),
    ("PATCH", 1 << 4),
    ("HEAD", 1 << 5),
    ("OPTIONS", 1 << 6),
    ("CONNECT", 1 << 7),
    ("TRACE", 1 << 8),
    ("PURGE", 1 << 9),
];

/// Set where any method was named, so that a list of unknown ones takes nothing and not everything.
const NAMED: u16 = 1 << 15;

impl Methods {
    /// The set of these methods; all methods where none is named.
    fn of(names: &[String]) -> Self {
        if names.is_empty() {
            return Self(0);
        }
        Self(names.iter().fold(NAMED, |set, name| set | Self::bit(name).0))
    }

    /// One method; a set of nothing where it is unknown.
    pub(super) fn bit(name: &str) -> Self {
        Self(NAMES.iter().find(|(known, _)| *known == name).map_or(0, |(_, bit)| *bit))
    }

    pub(super) const fn admit(self, method: Self) -> bool {
        self.0 == 0 || self.0 & method.0 != 0
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMES.iter().filter(|(_, bit)| self.0 & bit != 0).map(|(name, _)| (*name).to_owned());
        f.write_str(&super::condition::listed(names))
    }
}
