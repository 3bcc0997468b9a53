//! Services of a Kubernetes: endpoints, or endpoint slices, of `[id/]namespace/service:port_name` (APISIX's `discovery/kubernetes`).
//!
//! Listed, then watched for the next event, and listed again: each list is whole by itself, so that nothing is missed and no history is kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use usher_model::resource::Node;
use usher_model::secret::Secret;

use super::web::{Question, Web, escaped, json as json_of};
use super::{Asked, Cursor, Look, Registry, settings};

/// Where a pod finds who it is.
const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// And who vouches for the API.
const CA_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// How long a list may take.
const LIST_WITHIN: Duration = Duration::from_secs(10);
/// How long one question waits for an event.
const WATCH_SECS: u64 = 60;
/// Between an event and the list behind it: events come in flocks.
const BREATH: Duration = Duration::from_millis(100);

/// One or several Kubernetes.
pub(super) struct Kubernetes(Vec<Cluster>);

struct Cluster {
    id: Option<String>,
    web: Web,
    token: Token,
    settings: settings::Kubernetes,
}

enum Token {
    Given(Secret<String>),
    File(String),
}

impl Kubernetes {
    pub(super) fn new(all: &[settings::Kubernetes], own: &Arc<[SocketAddr]>) -> Result<Self, String> {
        let clusters = all.iter().map(|one| Cluster::new(one, own));
        let clusters = clusters.collect::<Result<Vec<_>, _>>();
        clusters.map(Self).map_err(|reason| format!("discovery.kubernetes: {reason}"))
    }

    /// The cluster that a name speaks of, and the rest of the name.
    fn cluster<'a>(&self, name: &'a str) -> Result<(&Cluster, &'a str), String> {
        if let Some((id, rest)) = name.split_once('/')
            && rest.contains('/')
        {
            let found = self.0.iter().find(|cluster| cluster.id.as_deref() == Some(id));
            return found
                .map(|cluster| (cluster, rest))
                .ok_or_else(|| format!("no kubernetes has the id \"{id}\""));
        }
        match self.0.as_slice() {
            [only] => Ok((only, name)),
            _ => Err(format!("there are several kubernetes; write \"{name}\" with the id of one in front")),
        }
    }
}

impl Cluster {
    fn new(settings: &settings::Kubernetes, own: &Arc<[SocketAddr]>) -> Result<Self, String> {
        let service = &settings.service;
        let (host, port) = (environment(&service.host)?, environment(&service.port)?);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let tls = match &service.ca_file {
            Some(file) => Some(known_by(file)?),
            None if service.verify && std::fs::exists(CA_FILE).unwrap_or(false) => Some(known_by(CA_FILE)?),
            None => None,
        };
        let web =
            Web::new(&format!("{}://{host}:{port}", service.schema), own)?.known_by(tls, service.verify);
        let token = match (&settings.client.token, &settings.client.token_file) {
            (Some(token), _) => Token::Given(Secret::new(environment(token.expose())?)),
            (None, file) => Token::File(environment(file.as_deref().unwrap_or(TOKEN_FILE))?),
        };
        Ok(Self { id: settings.id.clone(), web, token, settings: settings.clone() })
    }

    async fn authorization(&self) -> Result<String, String> {
        let token =
            match &self.token {
                Token::Given(token) => token.clone(),
                Token::File(path) => {
                    let text = tokio::fs::read_to_string(path).await;
                    Secret::new(text.map_err(|error| {
                        format!("the token of kubernetes can't be read from {path}: {error}")
                    })?)
                }
            };
        Ok(format!("Bearer {}", token.expose().trim()))
    }

    async fn ask(&self, path: &str, within: Duration, one_line: bool) -> Result<crate::ask::Answer, String> {
        let authorization = self.authorization().await?;
        let fields = [("Authorization", authorization.as_str())];
        self.web.ask(Question { fields: &fields, one_line, ..Question::get(path, within) }).await
    }

    async fn nodes(&self, name: &str, cursor: &mut Cursor) -> Result<Look, String> {
        let (namespace, rest) =
            name.split_once('/').ok_or("a service of kubernetes is written namespace/name:port")?;
        let (service, port) =
            rest.rsplit_once(':').ok_or("a service of kubernetes is written namespace/name:port")?;
        let selector = &self.settings.namespace_selector;
        let refused = selector.equal.as_deref().is_some_and(|only| only != namespace)
            || selector.not_equal.as_deref() == Some(namespace);
        if refused {
            return Err(format!(
                "the namespace \"{namespace}\" is not one that discovery.kubernetes may look at"
            ));
        }
        let path = self.path(namespace, service);
        if let Some(version) = cursor.seen.take() {
            let path = format!(
                "{path}&watch=true&resourceVersion={}&timeoutSeconds={WATCH_SECS}",
                escaped(&version)
            );
            let answer = self.ask(&path, Duration::from_secs(WATCH_SECS) + LIST_WITHIN, true).await?;
            match answer.status {
                // Nothing happened.
                200 if answer.body.is_empty() => {
                    cursor.seen = Some(version);
                    return Ok(Look { nodes: None, again: BREATH });
                }
                // Something did, or what was seen is too old to go on from (410): both are answered by a list.
                200 | 410 => tokio::time::sleep(BREATH).await,
                _ => drop(json_of("kubernetes", &answer)?),
            }
        }
        let list = json_of("kubernetes", &self.ask(&path, LIST_WITHIN, false).await?)?;
        let version = list.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        cursor.seen = version.map(str::to_owned);
        let items = list.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let weight = self.settings.default_weight;
        let nodes = if self.settings.watch_endpoint_slices {
            items.iter().flat_map(|item| of_slice(item, port, weight)).collect()
        } else {
            items.iter().flat_map(|item| of_endpoints(item, port, weight)).collect()
        };
        // Without a version there is nothing to watch from.
        let again = if cursor.seen.is_some() { BREATH } else { LIST_WITHIN };
        Ok(Look { nodes: Some(nodes), again })
    }

    fn path(&self, namespace: &str, service: &str) -> String {
        let namespace = escaped(namespace);
        let mut labels = self.settings.label_selector.clone().unwrap_or_default();
        if self.settings.watch_endpoint_slices {
            let comma = if labels.is_empty() { "" } else { "," };
            labels.push_str(&format!("{comma}kubernetes.io/service-name={service}"));
            return format!(
                "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector={}",
                escaped(&labels)
            );
        }
        let only = escaped(&format!("metadata.name={service}"));
        let mut path = format!("/api/v1/namespaces/{namespace}/endpoints?fieldSelector={only}");
        if !labels.is_empty() {
            path.push_str(&format!("&labelSelector={}", escaped(&labels)));
        }
        path
    }
}

impl Registry for Kubernetes {
    fn look<'a>(&'a self, asked: &'a Asked, cursor: &'a mut Cursor) -> BoxFuture<'a, Result<Look, String>> {
        async move {
            let (cluster, name) = self.cluster(&asked.name)?;
            cluster.nodes(name, cursor).await
        }
        .boxed()
    }

    fn shown(&self) -> Value {
        let all = self.0.iter().map(|cluster| {
            json!({
                "id": cluster.id, "service": cluster.web.base(), "default_weight": cluster.settings.default_weight,
                "watch_endpoint_slices": cluster.settings.watch_endpoint_slices,
            })
        });
        all.collect()
    }

    fn services_are(&self) -> &'static str {
        "endpoints"
    }
}

/// The nodes of an `Endpoints` object behind this port.
fn of_endpoints(item: &Value, port: &str, weight: u32) -> Vec<Node> {
    let subsets = item.get("subsets").and_then(Value::as_array).into_iter().flatten();
    let mut nodes = Vec::new();
    for subset in subsets {
        let Some(port) = port_of(subset, port) else { continue };
        let addresses = subset.get("addresses").and_then(Value::as_array).into_iter().flatten();
        let ips = addresses.filter_map(|address| address.get("ip")?.as_str());
        nodes.extend(ips.map(|ip| Node { host: ip.to_owned(), port: Some(port), weight, priority: 0 }));
    }
    nodes
}

/// The nodes of an `EndpointSlice` object behind this port.
fn of_slice(item: &Value, port: &str, weight: u32) -> Vec<Node> {
    let Some(port) = port_of(item, port) else { return Vec::new() };
    let endpoints = item.get("endpoints").and_then(Value::as_array).into_iter().flatten();
    let ready = endpoints
        .filter(|endpoint| endpoint.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false));
    let addresses = ready.filter_map(|endpoint| endpoint.get("addresses")?.as_array());
    let ips = addresses.flatten().filter_map(Value::as_str);
    ips.map(|ip| Node { host: ip.to_owned(), port: Some(port), weight, priority: 0 }).collect()
}

/// The number of the port of this name; one without a name goes by its number.
fn port_of(holder: &Value, wanted: &str) -> Option<u16> {
    let ports = holder.get("ports")?.as_array()?;
    ports.iter().find_map(|port| {
        let number = u16::try_from(port.get("port")?.as_u64()?).ok()?;
        let name = port.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        (name == Some(wanted) || wanted.parse() == Ok(number)).then_some(number)
    })
}

/// `${NAME}` is taken from the environment.
fn environment(text: &str) -> Result<String, String> {
    let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return Ok(text.to_owned());
    };
    std::env::var(name).map_err(|_| {
        format!("the environment has no {name}; run inside of a cluster, or write the value in its place")
    })
}

fn known_by(path: &str) -> Result<Arc<rustls::ClientConfig>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("{path} can't be read: {error}"))?;
    let mut roots = rustls::RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(&pem) {
        let cert = cert.map_err(|error| format!("{path} is no certificate in PEM: {error}"))?;
        roots.add(cert).map_err(|error| format!("{path} can't be used: {error}"))?;
    }
    crate::config::client_tls_by(roots).map_err(|error| format!("{path} can't be used: {error}"))
}
