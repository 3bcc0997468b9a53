//! An upstream, ready to be used: its nodes checked, its TLS settings made, and the turn of its nodes shared by all workers.

mod balance;
mod tls;

use std::any::Any;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use usher_model::compat::{Behaviour, Compat};
use usher_model::kind::Kind;
use usher_model::resource::{self, Scheme};
use usher_model::schema::unsupported;
use usher_pipeline::env::Target;

use super::workshop::Certificates;
use balance::Balance;

/// An upstream. Kept as the very same object over every edit that isn't its own, so that the turn of its nodes goes on.
pub(crate) struct Upstream {
    /// Its id; `route/1`, `service/1` and the like where it is written inside another object.
    pub(crate) name: Arc<str>,
    /// What was written.
    pub(crate) spec: resource::Upstream,
    /// TLS towards the nodes; `Some` exactly for https.
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// Equal only where scheme, TLS settings and host rules are equal: connections are shared between such upstreams.
    pub(crate) pool: u64,
    balance: Balance,
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
}

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
            Scheme::Http => None,
            Scheme::Https => Some(tls::client(&spec.tls, verify)?),
        };
        let pool = pool(&spec, verify);
        let balance = Balance::of(&spec.nodes);
        Ok(Self { name, spec, tls, pool, balance })
    }

    /// How many nodes one request may try: one and the retries, each node once at most; 0 where no node is in use.
    pub(crate) fn tries(&self) -> usize {
        let usable = self.balance.usable();
        let retries = self.spec.retries.map_or(usable.saturating_sub(1), |retries| retries as usize);
        retries.saturating_add(1).min(usable)
    }

    /// The node whose turn it is, as an index into `spec.nodes`: of the highest priority that has one left which is in use and not in `tried`.
    pub(crate) fn choose(&self, tried: &[usize]) -> Option<usize> {
        self.balance.choose(tried)
    }

    /// The node that [`Upstream::choose`] would give a first try, without taking its turn.
    pub(crate) fn next(&self) -> Option<usize> {
        self.balance.next()
    }
}

impl Target for Upstream {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// TLS towards servers that plugins call, without a certificate of our own.
///
/// # Errors
/// The system has no roots to verify by.
pub(crate) fn client_tls(verify: bool) -> Result<Arc<rustls::ClientConfig>, String> {
    tls::client(&resource::UpstreamTls::default(), verify)
}

/// The hash that tells pools apart. Its key is random, so that nobody can write two upstreams that share one by force.
fn pool(spec: &resource::Upstream, verify: bool) -> u64 {
    static KEYED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let mut hasher = KEYED.build_hasher();
    spec.scheme.as_str().hash(&mut hasher);
    if spec.scheme == Scheme::Https {
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
