//! How upstream nodes are found and looked after: name servers, registries of services, health checks.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use usher_proxy::options::{Dns, Registries};

use super::Settings;
use super::read::{Document, texts};

/// What upstreams of the whole process go by.
#[derive(Clone, Debug)]
pub(crate) struct Upstreams {
    /// How names are looked up.
    pub(crate) dns: Dns,
    /// Whether health checks are on.
    pub(crate) health_checks: bool,
    /// The registries that upstreams may name.
    pub(crate) discovery: Registries,
}

impl Default for Upstreams {
    fn default() -> Self {
        Self { dns: Dns::default(), health_checks: true, discovery: Registries::default() }
    }
}

/// What APISIX's workers need among themselves, and files that stand in for a registry that is away.
const WITHOUT_EFFECT: [&str; 5] = [
    "discovery.consul.dump",
    "discovery.consul.sort_type",
    "discovery.consul.shared_size",
    "discovery.consul_kv.dump",
    "discovery.kubernetes.shared_size",
];

/// Reads all of it.
///
/// # Errors
/// The setting, its value and what is allowed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    let Upstreams { dns, health_checks, discovery } = &mut settings.upstreams;
    if let Some(value) = file.at("apisix.dns_resolver") {
        dns.servers =
            texts("apisix.dns_resolver", value)?.iter().map(|text| server(text)).collect::<Result<_, _>>()?;
    }
    if let Some(seconds) = file.whole("apisix.dns_resolver_valid")? {
        dns.valid = Some(span("apisix.dns_resolver_valid", seconds)?);
    }
    if let Some(seconds) = file.whole("apisix.resolver_timeout")? {
        dns.timeout = span("apisix.resolver_timeout", seconds)?;
    }
    dns.ipv6 = file.truth("apisix.enable_ipv6")?.unwrap_or(true);
    dns.search = file.truth("apisix.enable_resolv_search_opt")?.unwrap_or(true);
    *health_checks = !file.truth("apisix.disable_upstream_healthcheck")?.unwrap_or(false);
    if let Some(value) = file.at("discovery") {
        *discovery = Registries::from_value(value)?;
        for name in WITHOUT_EFFECT.into_iter().filter(|name| file.at(name).is_some()) {
            settings.warnings.push(format!("{name} is a setting of APISIX that Usher does not act upon"));
        }
    }
    Ok(())
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let found = text.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, 53)));
    found.ok_or_else(|| {
        format!("apisix.dns_resolver: {text} is no name server; write an address such as 10.0.0.2 or 127.0.0.1:8600")
    })
}

fn span(name: &str, seconds: u64) -> Result<Duration, String> {
    match seconds {
        1..=86_400 => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{name}: {seconds} is out of range; write 1 to 86400 seconds")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::read::parsed;

    #[test]
    fn names_registries_and_checks_are_set_up_as_in_apisix() {
        let settings = parsed(
            "apisix:\n  dns_resolver: [10.0.0.2, '127.0.0.1:8600', '[::1]', '::1']\n  dns_resolver_valid: 30\n  resolver_timeout: 2\n  \
             enable_resolv_search_opt: false\n  enable_ipv6: false\n  disable_upstream_healthcheck: true\n\
             discovery:\n  consul: {servers: ['http://127.0.0.1:8500']}\n  dns: {servers: ['127.0.0.1:8600']}\n",
        )
        .unwrap();
        let upstreams = settings.upstreams;
        let servers: Vec<_> = upstreams.dns.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.2:53", "127.0.0.1:8600", "[::1]:53", "[::1]:53"]);
        assert_eq!(upstreams.dns.valid, Some(Duration::from_secs(30)));
        assert_eq!((upstreams.dns.timeout, upstreams.dns.search), (Duration::from_secs(2), false));
        assert!(!upstreams.dns.ipv6);
        assert!(
            !upstreams.health_checks
                && upstreams.discovery.consul.is_some()
                && upstreams.discovery.dns.is_some()
        );
        assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
        assert!(parsed("{}").unwrap().upstreams.health_checks);
    }

    #[test]
    fn settings_of_registries_that_do_nothing_are_warned_about() {
        let consul = "servers: ['http://127.0.0.1:8500']";
        let settings = parsed(&format!(
            "discovery:\n  consul: {{{consul}, sort_type: origin, dump: {{path: d, load_on_init: true}}}}\n  consul_kv: {{{consul}}}\n"
        ))
        .unwrap();
        assert_eq!(settings.warnings.len(), 2, "{:?}", settings.warnings);
        assert!(
            settings.warnings[0].starts_with("discovery.consul.dump is a setting"),
            "{:?}",
            settings.warnings
        );
        assert!(settings.warnings[1].starts_with("discovery.consul.sort_type "), "{:?}", settings.warnings);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (yaml, part) in [
            ("apisix: {dns_resolver: [ns.test]}", "apisix.dns_resolver: ns.test is no name server"),
            ("apisix: {dns_resolver_valid: 0}", "out of range"),
            ("apisix: {resolver_timeout: 100000}", "out of range"),
            ("apisix: {disable_upstream_healthcheck: 1}", "expected true or false"),
            ("discovery: {tars: {}}", "discovery.tars is not supported"),
            ("discovery: {consul: {server: x}}", "discovery.consul: unknown field `server`"),
        ] {
            let refused = parsed(yaml).unwrap_err();
            assert!(refused.contains(part), "{yaml}: {refused}");
        }
    }
}
