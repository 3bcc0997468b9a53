//! What a user writes of the Redis that counters live in: one server, a cluster, or sentinels that know the master.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::secret::Secret;
use usher_pipeline::plugin::BuildError;
use usher_pipeline::worker::PeerTls;

use super::Redis;
use crate::schema::number;

/// Where the counters are.
#[derive(Debug)]
pub(super) enum Place {
    Single(String, u16),
    Cluster(Vec<(String, u16)>),
    Sentinel(Known),
}

/// What sentinels are asked.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) sentinels: Vec<(String, u16)>,
    pub(super) master: String,
    pub(super) role: Role,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret<String>>,
}

/// One server, for `policy: redis`. Names and passwords are for `redis-cluster` and `redis-sentinel` too.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub(crate) struct Single {
    /// The server's name or address; needed for `policy: redis`.
    #[schemars(length(min = 2))]
    pub(crate) redis_host: Option<String>,
    /// The server's port.
    #[serde(default = "port::<6379>")]
    #[schemars(range(min = 1))]
    pub(crate) redis_port: u16,
    /// The user's name, for servers with access lists.
    #[schemars(length(min = 1))]
    pub(crate) redis_username: Option<String>,
    /// The password.
    pub(crate) redis_password: Option<Secret<String>>,
    /// The number of the database.
    #[serde(default = "zero")]
    pub(crate) redis_database: u32,
    /// Milliseconds for the whole of one look at a counter, connecting included.
    #[serde(default = "number::<1000>")]
    #[schemars(range(min = 1))]
    pub(crate) redis_timeout: u64,
    /// Speaks TLS with the server.
    #[serde(default)]
    pub(crate) redis_ssl: bool,
    /// Whether the server's certificate is verified.
    #[serde(default)]
    pub(crate) redis_ssl_verify: bool,
    /// A connection that was idle for so many milliseconds is not used any more.
    #[serde(default = "number::<10000>")]
    #[schemars(range(min = 1000))]
    pub(crate) redis_keepalive_timeout: u64,
    /// Accepted for APISIX's sake: a worker has one connection to a server, which all its requests share.
    #[serde(default = "number::<100>")]
    #[schemars(range(min = 1))]
    pub(crate) redis_keepalive_pool: u64,
}

/// A cluster, for `policy: redis-cluster`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub(crate) struct Cluster {
    /// Some of the cluster's nodes as `host:port`; the others are learned from them. Needed for `policy: redis-cluster`.
    #[schemars(length(min = 1), inner(length(min = 2, max = 100)))]
    pub(crate) redis_cluster_nodes: Option<Vec<String>>,
    /// A name for the cluster. Needed for `policy: redis-cluster`.
    pub(crate) redis_cluster_name: Option<String>,
    /// Speaks TLS with the cluster's nodes.
    #[serde(default)]
    pub(crate) redis_cluster_ssl: bool,
    /// Whether the nodes' certificates are verified.
    #[serde(default)]
    pub(crate) redis_cluster_ssl_verify: bool,
}

/// Sentinels, for `policy: redis-sentinel`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub(crate) struct Sentinel {
    /// The sentinels, asked in order. Needed for `policy: redis-sentinel`.
    #[schemars(length(min = 1))]
    pub(crate) redis_sentinels: Option<Vec<Address>>,
    /// The name that the sentinels know the master by. Needed for `policy: redis-sentinel`.
    #[schemars(length(min = 1))]
    pub(crate) redis_master_name: Option<String>,
    /// Which of the servers is used. Counters are written, so that only `master` can count unless replicas are writable.
    #[serde(default)]
    pub(crate) redis_role: Role,
    /// Milliseconds to connect.
    #[serde(default = "number::<1000>")]
    #[schemars(range(min = 1))]
    pub(crate) redis_connect_timeout: u64,
    /// Milliseconds for an answer.
    #[serde(default = "number::<1000>")]
    #[schemars(range(min = 1))]
    pub(crate) redis_read_timeout: u64,
    /// The user's name at the sentinels.
    pub(crate) sentinel_username: Option<String>,
    /// The password at the sentinels.
    pub(crate) sentinel_password: Option<Secret<String>>,
}

/// One sentinel.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub(crate) struct Address {
    /// The sentinel's name or address.
    #[schemars(length(min = 2))]
    pub(crate) host: String,
    /// The sentinel's port.
    #[schemars(range(min = 1))]
    pub(crate) port: u16,
}

/// Which of a master's servers is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    #[default]
    Master,
    Slave,
}

const fn port<const N: u16>() -> u16 {
    N
}

const fn zero() -> u32 {
    0
}

fn required(member: &str) -> BuildError {
    BuildError::new(format!("property \"{member}\" is required"))
}

impl Single {
    /// The one server that these settings name.
    ///
    /// # Errors
    /// The member that is missing.
    pub(crate) fn redis(&self) -> Result<Redis, BuildError> {
        self.redis_named(None)
    }

    /// The same, whose certificate has to have this name.
    ///
    /// # Errors
    /// As for [`Single::redis`].
    pub(crate) fn redis_named(&self, name: Option<String>) -> Result<Redis, BuildError> {
        let host = self.redis_host.clone().ok_or_else(|| required("redis_host"))?;
        let tls = self.redis_ssl.then_some(PeerTls { verify: self.redis_ssl_verify, name });
        Ok(self.at(Place::Single(host, self.redis_port), tls, Duration::from_millis(self.redis_timeout)))
    }

    /// The cluster.
    ///
    /// # Errors
    /// The member that is missing or can't be read.
    pub(crate) fn cluster(&self, cluster: &Cluster) -> Result<Redis, BuildError> {
        let nodes = cluster.redis_cluster_nodes.as_ref().ok_or_else(|| required("redis_cluster_nodes"))?;
        if cluster.redis_cluster_name.is_none() {
            return Err(required("redis_cluster_name"));
        }
        let seeds = nodes.iter().map(|node| {
            super::cluster::address(node, "").ok_or_else(|| {
                BuildError::new(format!(
                    "property \"redis_cluster_nodes\" validation failed: {node:?} is no host:port, such as 127.0.0.1:7000"
                ))
            })
        });
        let seeds = seeds.collect::<Result<_, _>>()?;
        let tls = PeerTls { verify: cluster.redis_cluster_ssl_verify, name: None };
        let tls = cluster.redis_cluster_ssl.then_some(tls);
        Ok(self.at(Place::Cluster(seeds), tls, Duration::from_millis(self.redis_timeout)))
    }

    /// The server that the sentinels name.
    ///
    /// # Errors
    /// The member that is missing.
    pub(crate) fn sentinel(&self, sentinel: &Sentinel) -> Result<Redis, BuildError> {
        let sentinels = sentinel.redis_sentinels.as_ref().ok_or_else(|| required("redis_sentinels"))?;
        let master = sentinel.redis_master_name.clone().ok_or_else(|| required("redis_master_name"))?;
        let known = Known {
            sentinels: sentinels.iter().map(|one| (one.host.clone(), one.port)).collect(),
            master,
            role: sentinel.redis_role,
            user: sentinel.sentinel_username.clone(),
            password: sentinel.sentinel_password.clone(),
        };
        let timeout = Duration::from_millis(sentinel.redis_connect_timeout + sentinel.redis_read_timeout);
        let tls = self.redis_ssl.then_some(PeerTls { verify: self.redis_ssl_verify, name: None });
        Ok(self.at(Place::Sentinel(known), tls, timeout))
    }

    fn at(&self, place: Place, tls: Option<PeerTls>, timeout: Duration) -> Redis {
        let mut redis = Redis {
            place,
            user: self.redis_username.clone(),
            password: self.redis_password.clone(),
            database: i64::from(self.redis_database),
            timeout,
            keepalive: Duration::from_millis(self.redis_keepalive_timeout),
            tls,
            identity: String::new(),
        };
        let mut secrets: Vec<&str> =
            redis.password.iter().map(|password| password.expose().as_str()).collect();
        if let Place::Sentinel(Known { password: Some(password), .. }) = &redis.place {
            secrets.push(password.expose());
        }
        // A digest, because passwords are part of it; everything else shows itself.
        let all = format!("{redis:?}{secrets:?}");
        redis.identity = super::script::hex(
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, all.as_bytes()).as_ref(),
        );
        redis
    }
}
