//! Settings of the Admin API, and of the ports beside it: Control API and status API.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::Value;
use usher_admin::http::{Envelopes, Form};
use usher_admin::keys::ConfiguredKey;
use usher_model::change;
use usher_model::compat::Behaviour;
use usher_model::secret::Secret;

use super::read::{Document, only_members, port, texts};
use super::{Role, Settings, StoreKind};

/// How the Admin API is reached and looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdminApi {
    /// Who may connect; empty for everybody.
    pub(crate) allowed: Vec<IpNet>,
    /// `false` closes what `compat: [admin-cors]` opens.
    pub(crate) no_cors: bool,
    /// The certificate it shows; plain HTTP without.
    pub(crate) tls: Option<AdminTls>,
    /// `true` leaves the console out.
    pub(crate) no_console: bool,
    /// How answers look, and which parts there are.
    pub(crate) form: Form,
}

/// Files of PEM for the Admin API's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminTls {
    /// The certificate, with those between it and its root.
    pub(crate) cert: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// Who signs the certificates of clients; where this is set, a client has to have one.
    pub(crate) ca: Option<PathBuf>,
}

/// Reads everything of the Admin API but its role.
///
/// # Errors
/// The setting, its value and what is allowed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    if let Some(address) = address(file, "deployment.admin.admin_listen", 9180)? {
        settings.admin = vec![address];
    }
    if file.truth("apisix.enable_admin")? == Some(false) {
        settings.admin.clear();
    }
    settings.admin_key_required = file.truth("deployment.admin.admin_key_required")?.unwrap_or(true);
    read_keys(file, settings)?;
    let api = &mut settings.admin_api;
    if let Some(value) = file.at("deployment.admin.allow_admin").filter(|value| !value.is_null()) {
        const NAME: &str = "deployment.admin.allow_admin";
        api.allowed = texts(NAME, value)?.iter().map(|text| network(NAME, text)).collect::<Result<_, _>>()?;
    }
    api.tls = tls(file, &mut settings.warnings)?;
    api.no_console = file.truth("deployment.admin.enable_admin_ui")? == Some(false);
    // Any other version than v3 is the old one, as in APISIX.
    if file.text("deployment.admin.admin_api_version")?.is_some_and(|version| version != "v3") {
        api.form.envelopes = Envelopes::V2;
    }
    // A file is managed by whoever writes it.
    api.form.standalone = settings.role == Role::Traditional
        && file.text("deployment.role_traditional.config_provider")? == Some("yaml")
        && !matches!(settings.store, StoreKind::File(_));
    Ok(())
}

/// CORS depends on `compat`, which has to be read before.
pub(super) fn read_cors(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    for name in ["apisix.enable_admin_cors", "deployment.admin.enable_admin_cors"] {
        match file.truth(name)? {
            Some(false) => settings.admin_api.no_cors = true,
            Some(true) if !settings.compat.has(Behaviour::AdminCors) => settings.warnings.push(format!(
                "{name}: true does nothing by itself: pages of every origin are let in by compat: [admin-cors]"
            )),
            Some(true) | None => {}
        }
    }
    Ok(())
}

/// Where Control API and status API listen: nowhere until somebody says so. `listen.control` and `listen.status` win.
pub(super) fn read_beside(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    let on = file.truth("apisix.enable_control")?;
    let control = address(file, "apisix.control", 9090)?;
    settings.control = match (on, control) {
        (Some(false), _) | (None, None) => Vec::new(),
        (_, Some(address)) => vec![address],
        (Some(true), None) => vec![SocketAddr::from(([127, 0, 0, 1], 9090))],
    };
    settings.status = address(file, "apisix.status", 7085)?.into_iter().collect();
    Ok(())
}

/// `{ip, port}` below a name; `None` where neither is given.
fn address(file: &Document<'_>, name: &str, usual: u64) -> Result<Option<SocketAddr>, String> {
    let ip = file.text(&format!("{name}.ip"))?;
    let number = file.whole(&format!("{name}.port"))?;
    if ip.is_none() && number.is_none() {
        return Ok(None);
    }
    let ip = ip.unwrap_or("127.0.0.1");
    let ip: IpAddr = ip.parse().map_err(|_| format!("{name}.ip: {ip} is no IP address"))?;
    Ok(Some(SocketAddr::new(ip, port(&format!("{name}.port"), number.unwrap_or(usual))?)))
}

/// An address or a network, with or without its length.
fn network(name: &str, text: &str) -> Result<IpNet, String> {
    let alone = text.parse::<IpAddr>().map(IpNet::from);
    let network = alone.or_else(|_| text.parse::<IpNet>().map(|network| network.trunc()));
    network.map_err(|_| {
        format!(
            "{name}: {text} is no address or network; write such as 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32"
        )
    })
}

fn tls(file: &Document<'_>, warnings: &mut Vec<String>) -> Result<Option<AdminTls>, String> {
    const ABOVE: &str = "deployment.admin.admin_api_mtls";
    let path = |member: &str| {
        let text = file.text(&format!("{ABOVE}.{member}"))?;
        Ok::<_, String>(text.filter(|text| !text.is_empty()).map(PathBuf::from))
    };
    let (cert, key, ca) = (path("admin_ssl_cert")?, path("admin_ssl_cert_key")?, path("admin_ssl_ca_cert")?);
    let on = file.truth("deployment.admin.https_admin")?.unwrap_or(false);
    match (on, cert, key) {
        (true, Some(cert), Some(key)) => Ok(Some(AdminTls { cert, key, ca })),
        (true, _, _) => Err(format!(
            "deployment.admin.https_admin: true needs a certificate: give {ABOVE}.admin_ssl_cert and {ABOVE}.admin_ssl_cert_key, \
             each the path of a PEM file"
        )),
        (false, None, None) if ca.is_none() => Ok(None),
        (false, _, _) => {
            warnings.push(format!("{ABOVE} does nothing unless deployment.admin.https_admin is true"));
            Ok(None)
        }
    }
}

fn read_keys(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    match file.at("deployment.admin.admin_key") {
        None => Ok(()),
        // In APISIX's files this asks for no key; elsewhere it is more likely a key that somebody forgot to write.
        Some(Value::Null) if settings.compat.has(Behaviour::KnownAdminKeys) => {
            settings.admin_key_required = false;
            Ok(())
        }
        Some(Value::Null) => Err(
            "deployment.admin.admin_key has no value: write a list of {name, key, role}, or admin_key_required: false, which asks \
             nobody for a key; compat: [known-admin-keys] takes an empty one for that too, as APISIX does"
                .to_owned(),
        ),
        Some(Value::Array(keys)) => {
            for (at, key) in keys.iter().enumerate() {
                if let Some(key) = admin_key(at, key)? {
                    settings.admin_keys.push(key);
                }
            }
            Ok(())
        }
        Some(_) => Err("deployment.admin.admin_key: write a list of {name, key, role}".to_owned()),
    }
}

/// One entry of `admin_key`. An empty key, as APISIX ships it, asks for one to be made.
fn admin_key(at: usize, value: &Value) -> Result<Option<ConfiguredKey>, String> {
    let name = value.get("name").and_then(Value::as_str);
    let place = format!("deployment.admin.admin_key[{at}]");
    let Some(name) = name else { return Err(format!("{place}.name is missing")) };
    only_members(&place, value, &["name", "key", "role"])?;
    let key = value.get("key").and_then(Value::as_str).unwrap_or_default();
    if key.is_empty() {
        return Ok(None);
    }
    let role = match value.get("role").and_then(Value::as_str) {
        None | Some("admin") => change::Role::Admin,
        Some("editor") => change::Role::Editor,
        Some("viewer") => change::Role::Viewer,
        Some(other) => {
            return Err(format!("{place}.role: {other} is not a role; write admin, editor or viewer"));
        }
    };
    Ok(Some(ConfiguredKey { name: name.to_owned(), key: Secret::new(key.to_owned()), role }))
}

#[cfg(test)]
mod tests {
    use usher_admin::http::Envelopes;

    use super::super::read::parsed;

    #[test]
    fn an_empty_list_of_keys_asks_for_none_only_where_apisix_is_meant() {
        let empty = "deployment: {admin: {admin_key: ~}}\n";
        let refused = parsed(empty).unwrap_err();
        assert!(refused.contains("admin_key_required: false"), "{refused}");
        let apisix = parsed(&format!("compat: apisix\n{empty}")).unwrap();
        assert!(!apisix.admin_key_required && apisix.admin_keys.is_empty());
        assert!(parsed("compat: apisix\ndeployment: {admin: {admin_key: []}}\n").unwrap().admin_key_required);
    }

    #[test]
    fn who_may_connect_is_a_list_of_networks() {
        let settings =
            parsed("deployment: {admin: {allow_admin: [127.0.0.0/24, 10.0.0.7, '2001:db8::1/32']}}\n");
        let allowed: Vec<String> =
            settings.unwrap().admin_api.allowed.iter().map(ToString::to_string).collect();
        assert_eq!(allowed, ["127.0.0.0/24", "10.0.0.7/32", "2001:db8::/32"]);
        assert!(parsed("deployment: {admin: {allow_admin: []}}\n").unwrap().admin_api.allowed.is_empty());
        assert!(parsed("deployment: {admin: {allow_admin: ~}}\n").unwrap().admin_api.allowed.is_empty());
        let wrong = parsed("deployment: {admin: {allow_admin: [localhost]}}\n").unwrap_err();
        assert!(
            wrong.starts_with("deployment.admin.allow_admin: localhost is no address or network"),
            "{wrong}"
        );
    }

    #[test]
    fn https_needs_its_files() {
        let mtls =
            "admin_api_mtls: {admin_ssl_cert: a.pem, admin_ssl_cert_key: a.key, admin_ssl_ca_cert: ''}";
        let settings = parsed(&format!("deployment: {{admin: {{https_admin: true, {mtls}}}}}\n")).unwrap();
        let tls = settings.admin_api.tls.unwrap();
        assert_eq!((tls.cert.to_str(), tls.key.to_str(), tls.ca), (Some("a.pem"), Some("a.key"), None));
        let wrong = parsed("deployment: {admin: {https_admin: true}}\n").unwrap_err();
        assert!(wrong.contains("admin_ssl_cert_key"), "{wrong}");
        let off = parsed(&format!("deployment: {{admin: {{{mtls}}}}}\n")).unwrap();
        assert!(off.admin_api.tls.is_none() && off.warnings[0].contains("https_admin"), "{:?}", off.warnings);
    }

    #[test]
    fn the_ports_beside_are_off_until_they_are_named() {
        for (yaml, control, status) in [
            ("{}", None, None),
            ("apisix: {enable_control: true}", Some("127.0.0.1:9090"), None),
            ("apisix: {control: {port: 9092}}", Some("127.0.0.1:9092"), None),
            ("apisix: {control: {ip: 127.0.0.2}}", Some("127.0.0.2:9090"), None),
            ("apisix: {enable_control: false, control: {port: 9092}}", None, None),
            ("apisix: {status: {ip: 127.0.0.1, port: 7085}}", None, Some("127.0.0.1:7085")),
            ("listen: {control: 9099, status: 127.0.0.1:0}", Some("127.0.0.1:9099"), Some("127.0.0.1:0")),
            ("apisix: {enable_control: true}\nlisten: {control: off}", None, None),
        ] {
            let settings = parsed(yaml).unwrap();
            let one = |addresses: &[std::net::SocketAddr]| addresses.first().map(ToString::to_string);
            assert_eq!(one(&settings.control).as_deref(), control, "{yaml}");
            assert_eq!(one(&settings.status).as_deref(), status, "{yaml}");
        }
    }

    #[test]
    fn the_form_of_answers_follows_the_settings() {
        let form = |yaml: &str| parsed(yaml).map(|settings| settings.admin_api.form);
        assert_eq!(form("deployment: {admin: {admin_api_version: v2}}").unwrap().envelopes, Envelopes::V2);
        assert_eq!(form("deployment: {admin: {admin_api_version: v3}}").unwrap().envelopes, Envelopes::V3);
        assert!(form("apisix: {proxy_mode: http&stream}").unwrap().streams);
        assert!(form("deployment: {role_traditional: {config_provider: yaml}}").unwrap().standalone);
        for other in [
            "deployment: {role_traditional: {config_provider: etcd}}",
            "store_file: a.yaml\ndeployment: {role_traditional: {config_provider: yaml}}",
            "deployment: {role: data_plane, role_data_plane: {config_provider: yaml}}",
        ] {
            assert!(!form(other).unwrap().standalone, "{other}");
        }
    }

    #[test]
    fn cors_is_closed_by_a_setting_and_opened_by_compat_alone() {
        let on = parsed("deployment: {admin: {enable_admin_cors: true}}\n").unwrap();
        assert!(!on.admin_api.no_cors && on.warnings[0].contains("admin-cors"), "{:?}", on.warnings);
        let both = parsed("deployment: {admin: {enable_admin_cors: true}}\ncompat: apisix\n").unwrap();
        assert!(both.warnings.is_empty(), "{:?}", both.warnings);
        assert!(parsed("apisix: {enable_admin_cors: false}\ncompat: apisix\n").unwrap().admin_api.no_cors);
    }

    #[test]
    fn roles_of_keys_are_named() {
        let keys = |role: &str| {
            parsed(&format!(
                "deployment: {{admin: {{admin_key: [{{name: a, key: abcdefghijklmnop, role: {role}}}]}}}}"
            ))
        };
        for role in ["admin", "editor", "viewer"] {
            assert_eq!(keys(role).unwrap().admin_keys.len(), 1, "{role}");
        }
        assert!(keys("root").unwrap_err().contains("admin, editor or viewer"));
    }
}
