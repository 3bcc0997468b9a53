//! Reads `config.yaml` into settings, naming what it doesn't know.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use usher_model::compat::{Behaviour, Compat};
use usher_model::nearest::nearest;
use usher_proxy::options::{AccessLog, Escape};

use super::known::{ONLY_KNOWN, SUPPORTED, covered, is_section, meant};
use super::listen::{Listen, addresses};
use super::{Settings, acme, admin, chat, console, plugin_attr, server, store, streams, tls, upstream};

/// Why a settings file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file can't be read.
    #[error("could not read {}: {reason}; give the right path with --config", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not; told once, so that it is no source that would be told behind it again.
        reason: std::io::Error,
    },
    /// The file is no YAML.
    #[error("{} is not valid YAML: {reason}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// One setting is wrong.
    #[error("{}: {reason}", path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// The setting, its value, and what is allowed.
        reason: String,
    },
}

/// Reads a file over the defaults.
///
/// # Errors
/// [`SettingsError`] names the file, the setting, the value and what is allowed.
pub(crate) fn read_file(path: &Path) -> Result<Settings, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|reason| SettingsError::Unreadable { path: path.to_owned(), reason })?;
    let document: Value = serde_saphyr::from_str(&text)
        .map_err(|error| SettingsError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
    let mut settings =
        read(&document).map_err(|reason| SettingsError::Wrong { path: path.to_owned(), reason })?;
    settings.beside(path);
    Ok(settings)
}

/// Reads a document over the defaults.
fn read(document: &Value) -> Result<Settings, String> {
    let mut settings = Settings::default();
    if document.is_null() {
        return Ok(settings);
    }
    let Value::Object(members) = document else {
        return Err("the file must hold settings by name, such as `apisix:`".to_owned());
    };
    check_names("", members, &mut settings.warnings)?;
    let file = Document(document);

    if let Some(text) = file.text("data")? {
        settings.data = PathBuf::from(text);
    }
    settings.keyring_file = file.text("keyring_file")?.map(PathBuf::from);
    store::read(&file, &mut settings)?;
    if let Some(count) = file.whole("workers")?.or(file.auto_whole("nginx_config.worker_processes")?) {
        settings.workers = workers(count)?;
    }
    admin::read_beside(&file, &mut settings)?;
    acme::read(&file, &mut settings)?;
    tls::read(&file, &mut settings)?;
    tls::read_balancers(&file, &mut settings)?;
    read_listeners(&file, &mut settings)?;
    streams::read(&file, &mut settings)?;
    if let Some(value) = file.at("compat") {
        settings.compat = compat(value)?;
    }
    admin::read(&file, &mut settings)?;
    console::read(&file, &mut settings)?;
    admin::read_cors(&file, &mut settings)?;
    server::read(&file, &mut settings)?;
    match file.text("consent")? {
        None | Some("risk") => {}
        Some("all") => settings.consent_all = true,
        Some(other) => {
            return Err(format!(
                "consent: {other} is not a rule; write risk (a person for high risk) or all (a person for every change)"
            ));
        }
    }
    chat::read(&file, &mut settings)?;
    if let Some(value) = file.at("apisix.trusted_addresses") {
        settings.trusted_addresses = texts("apisix.trusted_addresses", value)?;
    }
    settings.http2 = file.truth("apisix.enable_http2")?.unwrap_or(true);
    if let Some(router) = file.text("apisix.router.http")? {
        if !matches!(router, "radixtree_host_uri" | "radixtree_uri" | "radixtree_uri_with_parameter") {
            return Err(format!(
                "apisix.router.http: {router} is not supported; write radixtree_host_uri, radixtree_uri or radixtree_uri_with_parameter"
            ));
        }
        router.clone_into(&mut settings.router);
    }
    read_paths(&file, &mut settings)?;
    read_limits(&file, &mut settings)?;
    if let Some(value) = file.at("gateways.others") {
        settings.other_gateways = texts("gateways.others", value)?;
        if let Some(bad) = settings.other_gateways.iter().find(|other| !is_host_and_port(other)) {
            return Err(format!(
                "gateways.others: {bad:?} is no gateway; write HOST:PORT of its listen.gateways, such as 10.0.0.2:9093"
            ));
        }
    }
    plugin_attr::read(&file, &mut settings)?;
    upstream::read(&file, &mut settings)?;
    settings.access_log = read_access_log(&file, "nginx_config.http")?;
    settings.stream_access_log = read_access_log(&file, "nginx_config.stream")?;
    Ok(settings)
}

fn is_host_and_port(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn read_paths(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    settings.paths.delete_tail_slash = file.truth("apisix.delete_uri_tail_slash")?.unwrap_or(false);
    settings.paths.like_servlet = file.truth("apisix.normalize_uri_like_servlet")?.unwrap_or(false);
    settings.paths.encoded_slash = file.truth("apisix.match_uri_encoded_slash")?.unwrap_or(false);
    settings.show_upstream_status =
        file.truth("apisix.show_upstream_status_in_response_header")?.unwrap_or(false);
    settings.debug = file.truth("apisix.enable_debug")?.unwrap_or(false);
    Ok(())
}

fn read_limits(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    let whole = |name: &str| match file.whole(name)? {
        Some(0) => Err(format!("{name}: 0 would let nobody in; leave it out for no bound")),
        found => Ok(found),
    };
    let count = |name: &str| {
        let found = whole(name)?;
        Ok::<_, String>(found.map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
    };
    settings.most_connections = count("limits.connections")?;
    settings.most_connections_per_client = count("limits.connections_per_client")?;
    settings.most_memory_bytes = whole("limits.memory_mib")?.map(|mib| mib.saturating_mul(1 << 20));
    Ok(())
}

fn read_listeners(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    if let Some(value) = file.at("apisix.node_listen") {
        settings.proxy = node_listen(value)?;
    }
    let own = [
        ("listen.proxy", &mut settings.proxy),
        ("listen.tls", &mut settings.tls.listen),
        ("listen.admin", &mut settings.admin),
        ("listen.chat", &mut settings.chat),
        ("listen.metrics", &mut settings.metrics),
        ("listen.control", &mut settings.control),
        ("listen.status", &mut settings.status),
        ("listen.gateways", &mut settings.gateways),
    ];
    for (name, place) in own {
        if let Some(value) = file.at(name) {
            // YAML reads a bare `off` as false.
            let off = Value::String("off".to_owned());
            let value = if value == &Value::Bool(false) { &off } else { value };
            let given: Vec<Listen> = texts(name, value)?
                .iter()
                .map(|text| text.parse().map_err(|error| format!("{name}: {error}")))
                .collect::<Result<_, String>>()?;
            *place = addresses(name, &given)?;
        }
    }
    Ok(())
}

/// One of the access logs, as the members of this section say it.
fn read_access_log(file: &Document<'_>, section: &str) -> Result<Option<AccessLog>, String> {
    let name = |member: &str| format!("{section}.{member}");
    let path = file.text(&name("access_log"))?;
    if !file.truth(&name("enable_access_log"))?.unwrap_or(path.is_some()) {
        return Ok(None);
    }
    let format = file.text(&name("access_log_format"))?.map(str::to_owned);
    let escape = match file.text(&name("access_log_format_escape"))? {
        None | Some("default") => Escape::Plain,
        Some("json") => Escape::Json,
        Some("none") => Escape::None,
        Some(other) => {
            let name = name("access_log_format_escape");
            return Err(format!("{name}: {other} is not known; write default, json or none"));
        }
    };
    let path = path.filter(|path| *path != "/dev/stdout").map(PathBuf::from);
    Ok(Some(AccessLog { path, format, escape }))
}

fn check_names(above: &str, members: &Map<String, Value>, warnings: &mut Vec<String>) -> Result<(), String> {
    for (name, value) in members {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if covered(&path, SUPPORTED) {
            continue;
        }
        if is_section(&path, SUPPORTED) || is_section(&path, ONLY_KNOWN) {
            match value {
                Value::Object(below) => check_names(&path, below, warnings)?,
                Value::Null => {}
                _ => return Err(format!("{path}: expected settings by name below it, got {value}")),
            }
        } else if covered(&path, ONLY_KNOWN) {
            warnings.push(format!("{path} is a setting of APISIX that Usher does not act upon"));
        } else {
            let hint = meant(above, name).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(format!("{path} is not a setting{hint}"));
        }
    }
    Ok(())
}

fn compat(value: &Value) -> Result<Compat, String> {
    if value.as_str() == Some("apisix") {
        return Ok(Compat::apisix());
    }
    let mut on = Compat::NONE;
    for name in texts("compat", value)? {
        let found = Behaviour::ALL.into_iter().find(|(known, _)| *known == name);
        let Some((_, behaviour)) = found else {
            let names: Vec<&str> = Behaviour::ALL.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "compat: {name} is not a behaviour; write apisix for all, or some of {}",
                names.join(", ")
            ));
        };
        on = on.with(behaviour);
    }
    Ok(on)
}

fn node_listen(value: &Value) -> Result<Vec<SocketAddr>, String> {
    const NAME: &str = "apisix.node_listen";
    let any = IpAddr::from([0, 0, 0, 0]);
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    items
        .iter()
        .map(|item| match item {
            Value::Number(number) => {
                Ok(SocketAddr::new(any, port(NAME, number.as_u64().unwrap_or(u64::MAX))?))
            }
            Value::Object(members) => {
                only_members(NAME, item, &["ip", "port"])?;
                let ip = match members.get("ip").and_then(Value::as_str) {
                    Some(ip) => ip.parse().map_err(|_| format!("{NAME}: {ip} is no IP address"))?,
                    None => any,
                };
                let number = members.get("port").and_then(Value::as_u64).unwrap_or(u64::MAX);
                Ok(SocketAddr::new(ip, port(NAME, number)?))
            }
            other => Err(format!("{NAME}: expected a port or {{ip, port}}, got {other}")),
        })
        .collect()
}

/// Refuses members that would be swallowed.
pub(super) fn only_members(place: &str, value: &Value, known: &[&str]) -> Result<(), String> {
    let unknown =
        value.as_object().and_then(|members| members.keys().find(|name| !known.contains(&name.as_str())));
    unknown.map_or(Ok(()), |name| {
        let hint = nearest(name, known.iter().copied()).map(|near| format!("did you mean {near}? "));
        Err(format!(
            "{place}.{name} is not a setting; {}it takes {}",
            hint.unwrap_or_default(),
            known.join(", ")
        ))
    })
}

/// The address under which clients reach a side: a scheme, a host, perhaps a port.
pub(super) fn address(name: &str, text: &str) -> Result<String, String> {
    let url: Option<http::Uri> = text.parse().ok();
    let good = url.is_some_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some() && url.query().is_none()
    });
    if good {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err(format!(
        "{name}: {text} can't be used; write http:// or https://, a host, and a port if there is one"
    ))
}

pub(super) fn port(name: &str, number: u64) -> Result<u16, String> {
    u16::try_from(number).map_err(|_| format!("{name}: expected a port from 0 to 65535"))
}

/// The number of workers, where it can be one.
pub(super) fn workers(count: u64) -> Result<usize, String> {
    match usize::try_from(count) {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err(format!("workers: {count} is out of range; write a number from 1 to 1024")),
    }
}

pub(super) fn texts(name: &str, value: &Value) -> Result<Vec<String>, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("{name}: expected text, got {other}")),
    };
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

/// Looks settings up by dotted path, with the type they must have.
pub(super) struct Document<'a>(&'a Value);

impl<'a> Document<'a> {
    pub(super) fn at(&self, path: &str) -> Option<&'a Value> {
        path.split('.').try_fold(self.0, |value, name| value.get(name))
    }

    pub(super) fn text(&self, path: &str) -> Result<Option<&'a str>, String> {
        match self.at(path) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("{path}: expected text, got {other}")),
        }
    }

    pub(super) fn whole(&self, path: &str) -> Result<Option<u64>, String> {
        match self.at(path) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or_else(|| format!("{path}: expected a whole number, got {value}")),
        }
    }

    /// As [`Document::whole`], where `auto` means the default.
    fn auto_whole(&self, path: &str) -> Result<Option<u64>, String> {
        if self.at(path).and_then(Value::as_str) == Some("auto") { Ok(None) } else { self.whole(path) }
    }

    pub(super) fn truth(&self, path: &str) -> Result<Option<bool>, String> {
        match self.at(path) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(other) => Err(format!("{path}: expected true or false, got {other}")),
        }
    }
}

/// A settings file's text, for tests.
#[cfg(test)]
pub(super) fn parsed(yaml: &str) -> Result<Settings, String> {
    read(&serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?)
}

#[cfg(test)]
mod tests {
    use usher_model::compat::Behaviour;

    use super::super::StoreKind;
    use super::parsed;

    #[test]
    fn names_of_apisix_are_understood() {
        let settings = parsed(
            "apisix:\n  node_listen:\n    - 9080\n    - {ip: 127.0.0.2, port: 9081}\n  trusted_addresses: [10.0.0.0/8]\n\
             deployment:\n  admin:\n    admin_key:\n      - {name: ops, key: abcdefghijklmnop, role: viewer}\n    admin_listen: {ip: 127.0.0.1, port: 9182}\n\
             store: memory\ncompat: [openresty, admin-cors]\n",
        );
        assert_eq!(
            settings.unwrap_err(),
            "compat: openresty is not a behaviour; write apisix for all, or some of key-in-query-or-cookie, admin-cors, real-ip-from-loopback, unverified-upstreams, apisix-names, known-admin-keys, apisix-encryption, unsigned-hmac-target, jwe-without-aad, plain-http-credentials"
        );
        let settings = parsed(
            "apisix:\n  node_listen:\n    - 9080\n    - {ip: 127.0.0.2, port: 9081}\n\
             deployment:\n  admin:\n    admin_key:\n      - {name: ops, key: abcdefghijklmnop, role: viewer}\n    admin_listen: {ip: 127.0.0.1, port: 9182}\n\
             store: memory\ncompat: [admin-cors]\nworkers: 3\n",
        )
        .unwrap();
        assert_eq!(settings.proxy, ["0.0.0.0:9080".parse().unwrap(), "127.0.0.2:9081".parse().unwrap()]);
        assert_eq!(settings.admin, ["127.0.0.1:9182".parse().unwrap()]);
        assert!(matches!(settings.store, StoreKind::Memory));
        assert_eq!((settings.workers, settings.admin_keys.len()), (3, 1));
        assert!(settings.compat.has(Behaviour::AdminCors) && !settings.compat.has(Behaviour::ApisixNames));
    }

    #[test]
    fn an_unknown_name_is_an_error_with_the_nearest_one() {
        for (yaml, wanted) in [
            (
                "apisix:\n  node_lisen: 9080\n",
                "apisix.node_lisen is not a setting; did you mean apisix.node_listen?",
            ),
            ("wokers: 2\n", "wokers is not a setting; did you mean workers?"),
            (
                "store: etc\n",
                "store: etc is not a store; write embedded, memory, file:PATH, etcd://HOST:2379, etcds://HOST:2379, apisix+http://HOST:9180 or apisix+https://HOST:9180",
            ),
            ("workers: many\n", "workers: expected a whole number, got \"many\""),
            ("apisix: 9080\n", "apisix: expected settings by name below it, got 9080"),
            (
                "deployment:\n  admin:\n    admin_key:\n      - {name: a, ky: abcdefghijklmnop}\n",
                "deployment.admin.admin_key[0].ky is not a setting; did you mean key? it takes name, key, role",
            ),
            (
                "apisix:\n  node_listen:\n    - {port: 1, enable_http2: true}\n",
                "apisix.node_listen.enable_http2 is not a setting; it takes ip, port",
            ),
            (
                "chat:\n  public_url: ftp://x\n",
                "chat.public_url: ftp://x can't be used; write http:// or https://, a host, and a port if there is one",
            ),
        ] {
            assert_eq!(parsed(yaml).unwrap_err(), wanted);
        }
    }

    #[test]
    fn what_is_off_is_off_wherever_it_is_said() {
        let settings = parsed(
            "listen: {chat: off}\napisix: {enable_admin: false}\n\
             deployment: {admin: {admin_listen: {ip: 127.0.0.1, port: 9182}}}\n\
             plugin_attr: {prometheus: {enable_export_server: false}}\n",
        )
        .unwrap();
        assert_eq!((settings.chat.len(), settings.admin.len(), settings.metrics.len()), (0, 0, 0));
    }

    #[test]
    fn http2_is_on_until_it_is_switched_off() {
        for (yaml, wanted) in
            [("{}", true), ("apisix: {enable_http2: true}", true), ("apisix: {enable_http2: false}", false)]
        {
            let settings = parsed(yaml).unwrap();
            assert_eq!((settings.http2, settings.warnings.len()), (wanted, 0), "{yaml}");
        }
        assert!(parsed("apisix: {enable_http2: maybe}").unwrap_err().starts_with("apisix.enable_http2"));
    }

    #[test]
    fn a_setting_that_does_nothing_is_warned_about_by_name() {
        let settings = parsed("apisix:\n  enable_heartbeat: true\nwasm:\n  plugins: []\n").unwrap();
        assert_eq!(settings.warnings.len(), 2);
        assert!(settings.warnings[0].starts_with("apisix.enable_heartbeat "), "{:?}", settings.warnings);
    }
}
