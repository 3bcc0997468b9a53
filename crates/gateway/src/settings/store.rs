//! Which store, and which part a gateway plays: `--store`, `store:`, and APISIX's `deployment.role`, `config_provider` and `etcd`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use usher_model::document::Format;
use usher_model::nearest::nearest;
use usher_model::secret::Secret;
use usher_store::{apisix, etcd, file};

use super::Settings;
use super::read::{Document, only_members, texts};

/// Which store the configuration is kept in.
#[derive(Clone, Debug, Default)]
pub(crate) enum StoreKind {
    /// A database in the data folder: every acknowledged write survives a crash.
    #[default]
    Embedded,
    /// Nothing on disk: everything is gone at the end.
    Memory,
    /// An etcd that several gateways share.
    Etcd(Box<etcd::Options>),
    /// A running APISIX.
    Apisix(Box<apisix::Options>),
    /// A file that others write.
    File(Box<file::Options>),
}

/// Which part a gateway plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Serves traffic and is managed here.
    #[default]
    Traditional,
    /// Is managed here and serves no traffic.
    ControlPlane,
    /// Serves traffic and takes no change.
    DataPlane,
}

const ALLOWED: &str = "write embedded, memory, file:PATH, etcd://HOST:2379, etcds://HOST:2379, apisix+http://HOST:9180 or apisix+https://HOST:9180";

/// Reads the text of `--store` and `store:`.
///
/// # Errors
/// What is wrong with it, and what is allowed.
pub(crate) fn parse_store(text: &str) -> Result<StoreKind, String> {
    match text.split_once(':') {
        None if text == "embedded" => Ok(StoreKind::Embedded),
        None if text == "memory" => Ok(StoreKind::Memory),
        Some(("etcd" | "etcds", _)) => {
            etcd::Options::parse(text).map(|options| StoreKind::Etcd(Box::new(options)))
        }
        Some(("apisix+http" | "apisix+https", _)) => {
            apisix::Options::parse(text).map(|options| StoreKind::Apisix(Box::new(options)))
        }
        Some(("file", path)) => {
            // `file:///a` is the same as `file:/a`.
            let path = if path.starts_with("///") { path.trim_start_matches("//") } else { path };
            if path.is_empty() {
                return Err(format!("{text} names no file; write file:PATH, such as file:conf/apisix.yaml"));
            }
            Ok(StoreKind::File(Box::new(file::Options::new(path))))
        }
        Some(("http" | "https", rest)) => Err(format!(
            "{text} is not a store; for a running APISIX write apisix+http:{rest}, for an etcd etcd:{rest}"
        )),
        _ => {
            let hint = nearest(text, ["embedded", "memory"].into_iter())
                .map(|near| format!("; did you mean {near}?"));
            Err(format!("{text} is not a store{}; {ALLOWED}", hint.unwrap_or_default()))
        }
    }
}

/// Reads everything about the store and the role.
///
/// # Errors
/// The setting, its value and what is allowed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    let (role, section) = match file.text("deployment.role")? {
        None | Some("traditional") => (Role::Traditional, "role_traditional"),
        Some("control_plane") => (Role::ControlPlane, "role_control_plane"),
        Some("data_plane") => (Role::DataPlane, "role_data_plane"),
        Some(other) => {
            return Err(format!(
                "deployment.role: {other} is not a role; write traditional, control_plane or data_plane"
            ));
        }
    };
    settings.role = role;
    for (name, place) in [
        ("store_file", &mut settings.store_file),
        ("store_key_file", &mut settings.store_key_file),
        ("store_ca_file", &mut settings.store_ca_file),
    ] {
        *place = file.text(name)?.map(PathBuf::from);
    }
    settings.store_verify = file.truth("store_verify")?.unwrap_or(true);
    settings.data_keys = data_keys(file)?;
    let provided = provider(file, section, role, settings)?;
    settings.store = match file.text("store")? {
        Some(text) => parse_store(text).map_err(|error| format!("store: {error}"))?,
        None => provided,
    };
    Ok(())
}

/// The keys of APISIX's field encryption.
fn data_keys(file: &Document<'_>) -> Result<Option<Vec<Secret<String>>>, String> {
    const NAME: &str = "apisix.data_encryption.keyring";
    if file.truth("apisix.data_encryption.enable_encrypt_fields")? == Some(false) {
        return Ok(Some(Vec::new()));
    }
    let Some(value) = file.at(NAME).filter(|value| !value.is_null()) else { return Ok(None) };
    let keys = texts(NAME, value)?;
    if let Some(at) = keys.iter().position(|key| !matches!(key.len(), 16 | 32)) {
        return Err(format!("{NAME}[{at}]: a key has 16 or 32 characters"));
    }
    Ok(Some(keys.into_iter().map(Secret::new).collect()))
}

/// What `config_provider` of the role asks for.
fn provider(
    file: &Document<'_>,
    section: &str,
    role: Role,
    settings: &mut Settings,
) -> Result<StoreKind, String> {
    let name = format!("deployment.{section}.config_provider");
    let given = file.text(&name)?;
    let format = match given {
        None | Some("etcd") => return etcd(file, given.map(|_| name.as_str()), settings),
        // Managed as one document through `/configs`, which lives in memory as APISIX's does, unless a file or a store is named.
        Some("yaml") if role == Role::Traditional && settings.store_file.is_none() => {
            return Ok(StoreKind::Memory);
        }
        Some("yaml") if role != Role::ControlPlane => Format::Yaml,
        Some("json") if role != Role::ControlPlane => Format::Json,
        Some(other) => {
            let allowed = if role == Role::ControlPlane { "etcd" } else { "etcd, yaml or json" };
            return Err(format!("{name}: {other} is not supported; write {allowed}"));
        }
    };
    // A traditional role without a file is APISIX's other standalone mode: the configuration comes through the Admin API as a whole.
    if role == Role::Traditional && settings.store_file.is_none() {
        return Ok(StoreKind::Embedded);
    }
    let usual = if format == Format::Json { "conf/apisix.json" } else { "conf/apisix.yaml" };
    let path = settings.store_file.clone().unwrap_or_else(|| PathBuf::from(usual));
    Ok(StoreKind::File(Box::new(file::Options { format, apisix_only: true, ..file::Options::new(path) })))
}

/// `deployment.etcd`, in APISIX's form.
fn etcd(file: &Document<'_>, asked: Option<&str>, settings: &mut Settings) -> Result<StoreKind, String> {
    const ABOVE: &str = "deployment.etcd";
    let Some(section) = file.at(ABOVE).filter(|section| !section.is_null()) else {
        if let Some(name) = asked {
            settings.warnings.push(format!(
                "{name} is etcd, but no deployment.etcd.host is given: the embedded store is used"
            ));
        }
        return Ok(StoreKind::Embedded);
    };
    let known = ["host", "prefix", "timeout", "user", "password", "tls", "startup_retry", "watch_timeout"];
    only_members(ABOVE, section, &known)?;
    for ignored in ["startup_retry", "watch_timeout"] {
        if section.get(ignored).is_some() {
            settings
                .warnings
                .push(format!("{ABOVE}.{ignored} is a setting of APISIX that Usher does not act upon"));
        }
    }
    let mut options = etcd::Options::default();
    let hosts = section
        .get("host")
        .ok_or_else(|| format!("{ABOVE}.host is missing; write a list such as [http://127.0.0.1:2379]"))?;
    for host in texts("deployment.etcd.host", hosts)? {
        if !host.starts_with("http://") && !host.starts_with("https://") {
            return Err(format!(
                "{ABOVE}.host: {host} can't be used; write http://HOST:2379 or https://HOST:2379"
            ));
        }
        options.endpoints.push(host.trim_end_matches('/').to_owned());
    }
    if let Some(prefix) = file.text("deployment.etcd.prefix")? {
        options.prefix = prefix.trim_end_matches('/').to_owned();
    }
    if let Some(secs) = file.whole("deployment.etcd.timeout")? {
        // APISIX waits 30 s; writes here answer within 3 s unless told otherwise.
        options.timeout = Duration::from_secs(secs.clamp(1, 60));
    }
    options.user = file.text("deployment.etcd.user")?.map(str::to_owned);
    options.password = file.text("deployment.etcd.password")?.map(|text| Secret::new(text.to_owned()));
    if let Some(tls) = section.get("tls") {
        only_members("deployment.etcd.tls", tls, &["cert", "key", "verify", "sni"])?;
        options.sni = file.text("deployment.etcd.tls.sni")?.map(str::to_owned);
        options.cert = file.text("deployment.etcd.tls.cert")?.map(PathBuf::from);
        options.key = file.text("deployment.etcd.tls.key")?.map(PathBuf::from);
        options.verify = file.truth("deployment.etcd.tls.verify")?.unwrap_or(true);
    }
    options.check().map_err(|error| format!("{ABOVE}: {error}"))?;
    Ok(StoreKind::Etcd(Box::new(options)))
}

impl Settings {
    /// Finds APISIX's file beside `config.yaml`, where nothing else names it.
    pub(super) fn beside(&mut self, config: &Path) {
        let Some(folder) = config.parent() else { return };
        if let StoreKind::File(options) = &mut self.store
            && options.apisix_only
            && self.store_file.is_none()
            && let Some(name) = options.path.file_name()
        {
            options.path = folder.join(name);
        }
    }

    /// Leaves out the listeners that the gateway's role has no use for.
    pub(crate) fn settle_listeners(&mut self) {
        let mut none = Vec::new();
        if self.role == Role::ControlPlane {
            self.tls.listen.clear();
            self.behind_balancer = usher_proxy::options::BehindBalancer::default();
            self.streams = usher_proxy::options::Streams::default();
        }
        let (off, side) = match self.role {
            Role::Traditional => (&mut none, "nothing"),
            Role::ControlPlane => (&mut self.proxy, "the gateway"),
            Role::DataPlane => (&mut self.admin, "the Admin API"),
        };
        if !off.is_empty() {
            tracing::info!(role = ?self.role, "{side} does not listen in this role");
            off.clear();
        }
    }

    /// What the role takes away, whatever was said of listeners, and what the other settings add to the store.
    ///
    /// # Errors
    /// A file of the settings can't be read.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        self.settle_listeners();
        let secret = |place: &Option<PathBuf>| -> Result<Option<String>, String> {
            let Some(path) = place else { return Ok(None) };
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("store_key_file: {}: {error}", path.display()))?;
            Ok(Some(text.trim().to_owned()))
        };
        let data = self.data.clone();
        let is_empty = match &self.store {
            StoreKind::Memory => true,
            StoreKind::Embedded => !data.join("usher.redb").exists(),
            _ => false,
        };
        if self.role == Role::DataPlane && is_empty {
            return Err(
                "deployment.role is data_plane, but nothing says where its configuration comes from, and no store is in its data folder; name \
                 deployment.etcd.host, or --store etcd://HOST:2379, or a file (deployment.role_data_plane.config_provider: yaml)"
                    .to_owned(),
            );
        }
        match &mut self.store {
            StoreKind::Embedded | StoreKind::Memory => {}
            StoreKind::File(options) => options.keep = Some(data),
            StoreKind::Etcd(options) => {
                options.snapshots = Some(data.join("etcd"));
                if self.store_ca_file.is_some() {
                    options.ca.clone_from(&self.store_ca_file);
                }
                options.verify &= self.store_verify;
                options.check()?;
            }
            StoreKind::Apisix(options) => {
                let given = std::env::var("USHER_APISIX_KEY").ok().filter(|key| !key.is_empty());
                let key = match given {
                    Some(key) => Some(key),
                    None => secret(&self.store_key_file)?,
                };
                options.key = Secret::new(key.filter(|key| !key.is_empty()).ok_or_else(|| {
                    format!(
                        "an admin key of the APISIX at {} is needed: set USHER_APISIX_KEY, or name a file with it as store_key_file in config.yaml",
                        options.address
                    )
                })?);
                options.folder = data.join("apisix");
                options.ca.clone_from(&self.store_ca_file);
                options.verify = self.store_verify;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::read::parsed;
    use super::{Role, StoreKind, parse_store};

    #[test]
    fn stores_are_read_as_people_write_them() {
        for (text, wanted) in [
            ("embedded", Ok("Embedded")),
            ("memory", Ok("Memory")),
            ("file:conf/apisix.yaml", Ok("path: \"conf/apisix.yaml\"")),
            ("file:///etc/apisix.yaml", Ok("path: \"/etc/apisix.yaml\"")),
            ("etcd://a:2379,b:2379/x", Ok("http://b:2379")),
            ("etcds://a", Ok("https://a:2379")),
            ("apisix+https://a", Ok("https://a:9180")),
            ("etcd://", Err("")),
            ("file:", Err("write file:PATH")),
            ("http://a:9180", Err("apisix+http://a:9180")),
            ("memry", Err("did you mean memory?")),
            ("redis://a", Err("write embedded, memory, file:PATH, etcd://")),
            ("apisix+http://a:x", Err("x is no port")),
        ] {
            match (parse_store(text), wanted) {
                (Ok(store), Ok(part)) => assert!(format!("{store:?}").contains(part), "{text}: {store:?}"),
                (Err(said), Err(part)) => assert!(said.contains(part), "{text}: {said}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }

    #[test]
    fn apisix_s_own_settings_of_role_provider_and_etcd_are_followed() {
        let settings = parsed(
            "deployment:\n  role: data_plane\n  role_data_plane: {config_provider: etcd}\n  etcd:\n    host: ['https://a:2379', 'https://b:2379']\n    \
             prefix: /gw\n    timeout: 2\n    user: u\n    password: canary\n    tls: {cert: c.pem, key: k.pem, verify: false, sni: etcd.example}\n",
        )
        .unwrap();
        assert_eq!(settings.role, Role::DataPlane);
        let StoreKind::Etcd(options) = settings.store else { panic!("no etcd") };
        assert_eq!((options.endpoints.len(), options.prefix.as_str(), options.verify), (2, "/gw", false));
        assert_eq!(options.sni.as_deref(), Some("etcd.example"));
        assert!(!format!("{options:?}").contains("canary"));
        let mut settings =
            parsed("deployment: {role: data_plane, role_data_plane: {config_provider: yaml}}\n").unwrap();
        settings.beside(Path::new("/etc/usher/config.yaml"));
        let StoreKind::File(options) = settings.store else { panic!("no file") };
        assert_eq!((options.path.to_str(), options.apisix_only), (Some("/etc/usher/apisix.yaml"), true));
        let settings =
            parsed("store_file: a.json\ndeployment: {role_traditional: {config_provider: json}}\n").unwrap();
        let StoreKind::File(options) = settings.store else { panic!("no file") };
        assert_eq!(options.path, Path::new("a.json"));
        for (yaml, wanted) in [
            (
                "deployment: {role: data}",
                "deployment.role: data is not a role; write traditional, control_plane or data_plane",
            ),
            (
                "deployment: {role: control_plane, role_control_plane: {config_provider: yaml}}",
                "deployment.role_control_plane.config_provider: yaml is not supported; write etcd",
            ),
            (
                "deployment: {role_traditional: {config_provider: xds}}",
                "deployment.role_traditional.config_provider: xds is not supported; write etcd, yaml or json",
            ),
            (
                "deployment: {etcd: {host: [127.0.0.1:2379]}}",
                "deployment.etcd.host: 127.0.0.1:2379 can't be used; write http://HOST:2379 or https://HOST:2379",
            ),
            (
                "deployment: {etcd: {hosts: []}}",
                "deployment.etcd.hosts is not a setting; did you mean host? it takes host, prefix, timeout, user, password, tls, startup_retry, watch_timeout",
            ),
            (
                "apisix: {data_encryption: {keyring: [short]}}",
                "apisix.data_encryption.keyring[0]: a key has 16 or 32 characters",
            ),
            (
                "deployment: {etcd: {prefix: /a}}",
                "deployment.etcd.host is missing; write a list such as [http://127.0.0.1:2379]",
            ),
        ] {
            assert_eq!(parsed(yaml).unwrap_err(), wanted);
        }
        let settings = parsed("deployment: {role_traditional: {config_provider: etcd}}").unwrap();
        assert!(matches!(settings.store, StoreKind::Embedded) && settings.warnings.len() == 1);
    }
}
