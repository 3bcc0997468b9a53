//! How registries are set up: `discovery` of config.yaml, as APISIX spells it.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use usher_model::secret::Secret;

/// The registries that upstreams may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries {
    /// Name servers.
    pub dns: Option<Dns>,
    /// Consul's catalogue of services.
    pub consul: Option<Consul>,
    /// Keys and values of a Consul.
    pub consul_kv: Option<ConsulKv>,
    /// Eureka.
    pub eureka: Option<Eureka>,
    /// Nacos.
    pub nacos: Option<Nacos>,
    /// One or several Kubernetes.
    pub kubernetes: Option<Vec<Kubernetes>>,
}

impl Registries {
    /// Reads `discovery`.
    ///
    /// # Errors
    /// The setting, and what is wrong with it.
    pub fn from_value(value: &Value) -> Result<Self, String> {
        let members = match value {
            Value::Null => return Ok(Self::default()),
            Value::Object(members) => members,
            _ => return Err("discovery: it has to be a map of registries, such as dns or consul".to_owned()),
        };
        let mut all = Self::default();
        for (kind, value) in members {
            match kind.as_str() {
                "dns" => all.dns = Some(read(kind, value)?),
                "consul" => all.consul = Some(read(kind, value)?),
                "consul_kv" => all.consul_kv = Some(read(kind, value)?),
                "eureka" => all.eureka = Some(read(kind, value)?),
                "nacos" => all.nacos = Some(read(kind, value)?),
                "kubernetes" => {
                    all.kubernetes = Some(match value {
                        Value::Array(_) => read(kind, value)?,
                        _ => vec![read(kind, value)?],
                    });
                }
                other => {
                    return Err(format!(
                        "discovery.{other} is not supported by this version of Usher; use dns, consul, consul_kv, eureka, nacos or kubernetes"
                    ));
                }
            }
        }
        Ok(all)
    }
}

fn read<T: DeserializeOwned>(kind: &str, value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|error| format!("discovery.{kind}: {error}"))
}

/// `discovery.dns`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// Name servers, `address:port`; those of the gateway when absent.
    #[serde(default)]
    pub servers: Vec<String>,
    /// A file like `/etc/resolv.conf` instead.
    pub resolv_conf: Option<String>,
    /// Which kinds of records are asked for, in order.
    #[serde(default = "default_order")]
    pub order: Vec<String>,
}

fn default_order() -> Vec<String> {
    ["last", "SRV", "A", "AAAA", "CNAME"].map(str::to_owned).to_vec()
}

/// `discovery.consul`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consul {
    /// Base URLs; a service is known to one of them.
    pub servers: Vec<String>,
    /// Sent as `X-Consul-Token`.
    pub token: Option<Secret<String>>,
    /// Services that are never used.
    #[serde(default)]
    pub skip_services: Vec<String>,
    /// How long each step may take, in milliseconds; `wait` in seconds.
    #[serde(default)]
    pub timeout: ConsulTimeout,
    /// The weight of each node; 1 unless set.
    #[serde(default = "one")]
    pub weight: u32,
    /// Seconds between two looks where questions don't wait; 3 unless set.
    #[serde(default = "three")]
    pub fetch_interval: u64,
    /// Whether questions wait for a change.
    #[serde(default = "yes")]
    pub keepalive: bool,
    /// What stands for a service that has no node.
    pub default_service: Option<ConsulDefault>,
    #[serde(default, rename = "dump")]
    _dump: Ignored,
    #[serde(default, rename = "sort_type")]
    _sort_type: Ignored,
    #[serde(default, rename = "shared_size")]
    _shared_size: Ignored,
}

impl Eq for Consul {}

/// `discovery.consul_kv`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsulKv {
    /// Base URLs.
    pub servers: Vec<String>,
    /// Sent as `X-Consul-Token`.
    pub token: Option<Secret<String>>,
    /// The folder of all services; `upstreams` unless set.
    #[serde(default = "upstreams")]
    pub prefix: String,
    /// Keys that are passed over.
    #[serde(default)]
    pub skip_keys: Vec<String>,
    /// How long each step may take.
    #[serde(default)]
    pub timeout: ConsulTimeout,
    /// The weight of a node that names none; 1 unless set.
    #[serde(default = "one")]
    pub weight: u32,
    /// Seconds between two looks where questions don't wait; 3 unless set.
    #[serde(default = "three")]
    pub fetch_interval: u64,
    /// Whether questions wait for a change.
    #[serde(default = "yes")]
    pub keepalive: bool,
    /// What stands for a service that has no node. APISIX's page calls it so, and its schema `default_service`.
    #[serde(alias = "default_service")]
    pub default_server: Option<ConsulDefault>,
    #[serde(default, rename = "dump")]
    _dump: Ignored,
}

impl Eq for ConsulKv {}

/// How long Consul may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsulTimeout {
    /// Milliseconds for a connection.
    pub connect: u64,
    /// Milliseconds for an answer that doesn't wait.
    pub read: u64,
    /// Seconds that a question may wait for a change.
    pub wait: u64,
}

impl Default for ConsulTimeout {
    fn default() -> Self {
        Self { connect: 2_000, read: 2_000, wait: 60 }
    }
}

/// A node that stands for a service without any.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ConsulDefault {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// `discovery.eureka`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eureka {
    /// Base URLs, which may hold `user:password@`; any of them knows all.
    pub host: Vec<Secret<String>>,
    /// `/eureka/` unless set.
    #[serde(default = "eureka_prefix")]
    pub prefix: String,
    /// Seconds between two looks; 30 unless set.
    #[serde(default = "thirty")]
    pub fetch_interval: u64,
    /// The weight of a node that names none; 100 unless set.
    #[serde(default = "hundred")]
    pub weight: u32,
    /// Milliseconds for each step.
    #[serde(default)]
    pub timeout: StepTimeout,
}

/// `discovery.nacos`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nacos {
    /// Base URLs, which may hold `user:password@`; any of them knows all.
    pub host: Vec<Secret<String>>,
    /// `/nacos/v1/` unless set.
    #[serde(default = "nacos_prefix")]
    pub prefix: String,
    /// Seconds between two looks; 30 unless set.
    #[serde(default = "thirty")]
    pub fetch_interval: u64,
    /// The weight of a node that names none; 100 unless set.
    #[serde(default = "hundred")]
    pub weight: u32,
    /// Milliseconds for each step.
    #[serde(default)]
    pub timeout: StepTimeout,
    /// Sent along where it is set.
    #[serde(default)]
    pub access_key: Secret<String>,
    /// Signs with `access_key`.
    #[serde(default)]
    pub secret_key: Secret<String>,
}

/// Milliseconds for each step of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepTimeout {
    /// For a connection.
    pub connect: u64,
    /// For sending.
    pub send: u64,
    /// For the answer.
    pub read: u64,
}

impl Default for StepTimeout {
    fn default() -> Self {
        Self { connect: 2_000, send: 2_000, read: 5_000 }
    }
}

/// `discovery.kubernetes`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// Tells several of them apart.
    pub id: Option<String>,
    /// Where its API is.
    #[serde(default)]
    pub service: KubernetesService,
    /// Who asks.
    #[serde(default)]
    pub client: KubernetesClient,
    /// The weight of each node; 50 unless set.
    #[serde(default = "fifty")]
    pub default_weight: u32,
    /// Which namespaces may be named.
    #[serde(default)]
    pub namespace_selector: NamespaceSelector,
    /// Which endpoints are looked at, as Kubernetes writes label selectors.
    pub label_selector: Option<String>,
    /// Looks at endpoint slices instead of endpoints.
    #[serde(default)]
    pub watch_endpoint_slices: bool,
    #[serde(default, rename = "shared_size")]
    _shared_size: Ignored,
}

/// Where a Kubernetes API is. `${NAME}` is taken from the environment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KubernetesService {
    /// `https` or `http`.
    pub schema: String,
    /// Host.
    pub host: String,
    /// Port, a number or a text.
    #[serde(deserialize_with = "text_or_number")]
    pub port: String,
    /// The file of the authority that vouches for it, in PEM.
    pub ca_file: Option<String>,
    /// Whether its certificate is verified.
    pub verify: bool,
}

impl Default for KubernetesService {
    fn default() -> Self {
        Self {
            schema: "https".to_owned(),
            host: "${KUBERNETES_SERVICE_HOST}".to_owned(),
            port: "${KUBERNETES_SERVICE_PORT}".to_owned(),
            ca_file: None,
            verify: true,
        }
    }
}

/// Who asks a Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesClient {
    /// A token.
    pub token: Option<Secret<String>>,
    /// A file with one, read anew at each question, because it is renewed there.
    pub token_file: Option<String>,
}

/// Which namespaces may be named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceSelector {
    /// Only this one.
    pub equal: Option<String>,
    /// All but this one.
    pub not_equal: Option<String>,
}

/// A setting of APISIX's memory or files, which has no counterpart here.
#[derive(Clone, Default, PartialEq)]
struct Ignored;

impl fmt::Debug for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("-")
    }
}

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Eq for Ignored {}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => {
            Err(serde::de::Error::custom("a port is a number, or a text such as ${KUBERNETES_SERVICE_PORT}"))
        }
    }
}

fn upstreams() -> String {
    "upstreams".to_owned()
}

fn eureka_prefix() -> String {
    "/eureka/".to_owned()
}

fn nacos_prefix() -> String {
    "/nacos/v1/".to_owned()
}

const fn one() -> u32 {
    1
}

const fn fifty() -> u32 {
    50
}

const fn hundred() -> u32 {
    100
}

const fn three() -> u64 {
    3
}

const fn thirty() -> u64 {
    30
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Registries;

    #[test]
    fn settings_are_read_as_apisix_spells_them() {
        let all = Registries::from_value(&json!({
            "dns": { "servers": ["127.0.0.1:8600"] },
            "consul": { "servers": ["http://127.0.0.1:8500"], "token": "t", "timeout": { "wait": 30 }, "dump": { "path": "x" } },
            "consul_kv": { "servers": ["http://127.0.0.1:8500"], "prefix": "p", "weight": 2 },
            "eureka": { "host": ["http://u:p@127.0.0.1:8761"] },
            "nacos": { "host": ["http://127.0.0.1:8848"], "fetch_interval": 5 },
            "kubernetes": [{ "id": "a", "service": { "port": 6443 } }, { "id": "b" }],
        }))
        .unwrap();
        let consul = all.consul.as_ref().unwrap();
        assert_eq!((consul.timeout.wait, consul.timeout.read, consul.weight), (30, 2_000, 1));
        assert_eq!(all.kubernetes.as_ref().unwrap()[0].service.port, "6443");
        assert_eq!(
            (all.eureka.as_ref().unwrap().weight, all.nacos.as_ref().unwrap().fetch_interval),
            (100, 5)
        );
        let shown = format!("{all:?}");
        assert!(!shown.contains("u:p@") && !shown.contains("\"t\""), "{shown}");
        assert_eq!(Registries::from_value(&json!(null)).unwrap(), Registries::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (value, part) in [
            (json!({ "tars": {} }), "discovery.tars is not supported"),
            (json!({ "consul": { "server": [] } }), "discovery.consul: unknown field `server`"),
            (json!({ "nacos": {} }), "discovery.nacos: missing field `host`"),
            (json!({ "kubernetes": { "namespace_selector": { "match": ["a"] } } }), "unknown field `match`"),
            (json!([]), "a map of registries"),
        ] {
            let refused = Registries::from_value(&value).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
    }
}
