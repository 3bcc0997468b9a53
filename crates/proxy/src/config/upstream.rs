//! An upstream, ready to be used: its nodes checked, its TLS settings made, and what is known of its nodes shared by all workers.

mod balance;
mod checked;
mod health;
mod kept;
mod key;
mod links;
mod members;
mod node;
mod tls;

use std::any::Any;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use usher_model::compat::{Behaviour, Compat};
use usher_model::kind::Kind;
use usher_model::resource::{self, Scheme};
use usher_model::schema::unsupported;
use usher_model::variables::Variables;
use usher_pipeline::env::Target;

use super::workshop::Certificates;
use crate::discover::Discovery;
pub(crate) use balance::{Fleet, Pick};
pub(crate) use checked::Checked;
pub(crate) use health::Sign;
pub(crate) use kept::{Keeper, Ways};
use key::Key;
pub(crate) use links::Links;
use members::{Members, Plan};
pub(crate) use node::Flight;
use tls::Protocol;

/// An upstream. Kept as the very same object over every edit that isn't its own, so that the turn of its nodes goes on.
pub(crate) struct Upstream {
    /// Its id; `route/1`, `service/1` and the like where it is written inside another object.
    pub(crate) name: Arc<str>,
    /// What was written.
    pub(crate) spec: resource::Upstream,
    /// TLS towards the nodes; `Some` exactly for https and tls.
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// Equal only where scheme, TLS settings and host rules are equal: connections are shared between such upstreams.
    pub(crate) pool: u64,
    members: Arc<Members>,
    key: Key,
    checked: Option<Arc<Checked>>,
}

/// Where an upstream is built.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Which of APISIX's behaviours are on.
    pub(crate) compat: Compat,
    /// Usher's own other listeners.
    pub(crate) own: &'a [SocketAddr],
    /// Certificates to be shown, by their ids; `None` where none can be named.
    pub(crate) certificates: Option<&'a Certificates>,
    /// What is remembered of upstreams.
    pub(crate) keeper: &'a Keeper,
}

/// The longest that a request waits for the first word of a registry.
const FIRST_WORD: Duration = Duration::from_secs(5);

impl Upstream {
    /// An upstream of its value, whose secrets are open.
    ///
    /// # Errors
    /// The sentence of what is wrong with it.
    pub(crate) fn build(name: Arc<str>, value: &Value, place: Place<'_>) -> Result<Self, String> {
        if let Some(sentence) = unsupported(Kind::Upstream, value) {
            return Err(sentence);
        }
        let mut spec = resource::Upstream::from_value(value).map_err(|error| error.to_string())?;
        if let Some(id) = &spec.tls.client_cert_id {
            if spec.tls.client_cert.is_some() || spec.tls.client_key.is_some() {
                return Err("`tls.client_cert_id` and `tls.client_cert` can't be given both; leave one out"
                    .to_owned());
            }
            let all = place.certificates.ok_or(
                "`tls.client_cert_id` can't be given inside of a plugin; refer to an upstream by `upstream_id`, or give `client_cert` and `client_key`",
            )?;
            let pair = all.client(id)?;
            (spec.tls.client_cert, spec.tls.client_key) = (Some(pair.cert), Some(pair.key));
        }
        for node in &spec.nodes {
            let port = node.port.unwrap_or_else(|| spec.scheme.port());
            if let Ok(ip) = node.host.parse::<IpAddr>()
                && let Some(reason) = super::forbidden(SocketAddr::new(ip, port), place.own)
            {
                return Err(format!("the node {} can't be used: {reason}; name another address", node.host));
            }
        }
        let verify = spec.tls.verify.unwrap_or_else(|| !place.compat.has(Behaviour::UnverifiedUpstreams));
        let tls = match spec.scheme {
            Scheme::Http | Scheme::Grpc | Scheme::Tcp | Scheme::Udp => None,
            Scheme::Https => Some(tls::client(&spec.tls, verify, Protocol::Http1)?),
            Scheme::Grpcs => Some(tls::client(&spec.tls, verify, Protocol::Http2)?),
            Scheme::Tls => Some(tls::bare(&*tls::client(&spec.tls, verify, Protocol::Http1)?)),
        };
        if spec.scheme.is_stream()
            && let Some(node) = spec.nodes.iter().find(|node| node.port.is_none())
        {
            let scheme = spec.scheme.as_str();
            return Err(format!(
                "the node {} has no port, and {scheme} has no usual one; give it one",
                node.host
            ));
        }
        let pool = pool(&spec, verify);
        let kept = place.keeper.of(&name);
        let checks = spec.checks.take().filter(|_| place.keeper.checks_are_on());
        let plan = Plan {
            kept: Arc::clone(&kept),
            balancer: spec.balancer,
            port: spec.scheme.port(),
            checked: checks.is_some(),
        };
        let members = Arc::new(members(&name, &mut spec, place.keeper, plan));
        let checked =
            checks.map(|checks| checked(&name, &spec, checks, Arc::clone(&members), kept)).transpose()?;
        if let Some(checked) = &checked {
            place.keeper.add(checked);
        }
        let key = Key::of(&spec);
        Ok(Self { name, spec, tls, pool, members, key, checked })
    }

    /// The nodes as they are now.
    pub(crate) fn fleet(&self) -> Arc<Fleet> {
        self.members.fleet()
    }

    /// Whether these still are its nodes.
    pub(crate) fn is_current(&self, fleet: &Fleet) -> bool {
        self.members.is_current(fleet)
    }

    /// Whether its nodes are known: a registry that was only just asked may not have answered.
    pub(crate) fn is_known(&self) -> bool {
        self.members.is_known()
    }

    /// Waits until they are known, but not for long.
    pub(crate) async fn wait_until_known(&self) {
        self.members.wait(FIRST_WORD).await;
    }

    /// The place of a request's key, for [`Pick`].
    pub(crate) fn place(&self, variables: &dyn Variables) -> u32 {
        self.key.place(variables)
    }

    /// A request is about to use it.
    pub(crate) fn want(&self) {
        if let Some(checked) = &self.checked {
            checked.want();
        }
    }

    /// A node answered with this status.
    pub(crate) fn answered(&self, fleet: &Fleet, node: usize, status: u16) {
        match &self.checked {
            Some(checked) => checked.answered(fleet, node, status),
            None => fleet.did_well(node),
        }
    }

    /// A node gave no answer.
    pub(crate) fn failed(&self, fleet: &Fleet, node: usize, timed_out: bool, now: Instant) {
        match &self.checked {
            Some(checked) => checked.failed(fleet, node, timed_out),
            None if fleet.failed(node, now) => {
                let host = fleet.nodes().get(node).map(|node| node.host.as_str());
                tracing::warn!(
                    upstream = &*self.name,
                    node = host,
                    "a node failed three times in a row and is passed over for a while"
                );
            }
            None => {}
        }
    }
}

/// Where the nodes come from.
fn members(name: &Arc<str>, spec: &mut resource::Upstream, keeper: &Keeper, plan: Plan) -> Members {
    let (Some(kind), Some(service)) = (&spec.discovery_type, &spec.service_name) else {
        return Members::written(std::mem::take(&mut spec.nodes), plan);
    };
    let followed =
        |discovery: &Arc<Discovery>| discovery.service(kind, service, &spec.discovery_args, spec.scheme);
    match keeper.discovery().map(followed) {
        Some(Ok(service)) => Members::found(service, plan),
        Some(Err(reason)) => {
            tracing::warn!(upstream = &**name, service, reason, "an upstream has no nodes");
            Members::written(Vec::new(), plan)
        }
        // Only looked at, by whoever checks a plugin's body before anything runs.
        None => Members::written(Vec::new(), plan),
    }
}

fn checked(
    name: &Arc<str>,
    spec: &resource::Upstream,
    checks: resource::Checks,
    members: Arc<Members>,
    kept: Arc<kept::Kept>,
) -> Result<Arc<Checked>, String> {
    let tls = match checks.active.kind {
        resource::CheckKind::Https => {
            Some(tls::client(&spec.tls, checks.active.https_verify_certificate, Protocol::Http1)?)
        }
        _ => None,
    };
    let host = spec.upstream_host.clone().filter(|_| spec.pass_host == resource::PassHost::Rewrite);
    let name = Arc::clone(name);
    Ok(Arc::new(Checked::new(checked::Parts { name, checks, host, tls, members, kept })))
}

impl Target for Upstream {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_well(&self) -> bool {
        self.want();
        self.checked.is_none() || self.fleet().has_healthy()
    }
}

/// TLS towards servers that plugins call, without a certificate of our own.
///
/// # Errors
/// The system has no roots to verify by.
pub(crate) fn client_tls(verify: bool) -> Result<Arc<rustls::ClientConfig>, String> {
    tls::client(&resource::UpstreamTls::default(), verify, Protocol::Http1)
}

/// TLS towards a server that these authorities vouch for, without a certificate of our own.
///
/// # Errors
/// There is none among them.
pub(crate) fn client_tls_by(roots: rustls::RootCertStore) -> Result<Arc<rustls::ClientConfig>, String> {
    tls::client_of(roots)
}

/// The hash that tells pools apart. Its key is random, so that nobody can write two upstreams that share one by force.
fn pool(spec: &resource::Upstream, verify: bool) -> u64 {
    static KEYED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let mut hasher = KEYED.build_hasher();
    spec.scheme.as_str().hash(&mut hasher);
    if spec.scheme.is_tls() {
        verify.hash(&mut hasher);
        spec.tls.client_cert.hash(&mut hasher);
        spec.tls.client_key.hash(&mut hasher);
    }
    (spec.pass_host as u8).hash(&mut hasher);
    spec.upstream_host.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
