//! Sessions that lie in a Redis instead of the browser: the cookie then only says which one it is.
//!
//! What lies there is encrypted as a cookie would be: whoever can read that Redis learns nothing, and whoever can write it makes no session.

use schemars::JsonSchema;
use serde::Deserialize;
use usher_model::secret::Secret;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::BuildError;

use super::config::SessionConfig;
use super::provider::Trouble;
use super::session::NOTE_SECONDS;
use crate::redis_link::{Redis, Script, Single};
use crate::schema::{number, yes};

/// A Redis that keeps sessions.
#[derive(Clone, Deserialize, JsonSchema)]
pub(super) struct Place {
    /// Its name or address.
    #[serde(default = "here")]
    #[schemars(length(min = 1))]
    host: String,
    /// The port that it listens on.
    #[serde(default = "usual_port")]
    #[schemars(range(min = 1))]
    port: u16,
    /// The user's name, for servers with access lists.
    username: Option<String>,
    /// The password.
    password: Option<Secret<String>>,
    /// The number of the database.
    #[serde(default)]
    database: u32,
    /// What stands before the names of sessions.
    #[serde(default = "usual_prefix")]
    prefix: String,
    /// Speaks TLS with it.
    #[serde(default)]
    ssl: bool,
    /// Whether its certificate is verified.
    #[serde(default = "yes")]
    ssl_verify: bool,
    /// The name that its certificate has to have; the host by default.
    server_name: Option<String>,
    /// Milliseconds to connect in.
    #[serde(default = "number::<1000>")]
    #[schemars(range(min = 1))]
    connect_timeout: u64,
    /// Milliseconds to send in.
    #[serde(default = "number::<1000>")]
    #[schemars(range(min = 1))]
    send_timeout: u64,
    /// Milliseconds to wait for an answer.
    #[serde(default = "number::<1000>")]
    #[schemars(range(min = 1))]
    read_timeout: u64,
    /// A connection that was idle for so many milliseconds is not used any more.
    #[serde(default = "number::<10000>")]
    #[schemars(range(min = 1000))]
    keepalive_timeout: u64,
}

fn here() -> String {
    "127.0.0.1".to_owned()
}

const fn usual_port() -> u16 {
    6379
}

fn usual_prefix() -> String {
    "sessions".to_owned()
}

impl Default for Place {
    fn default() -> Self {
        Self {
            host: here(),
            port: usual_port(),
            username: None,
            password: None,
            database: 0,
            prefix: usual_prefix(),
            ssl: false,
            ssl_verify: true,
            server_name: None,
            connect_timeout: 1000,
            send_timeout: 1000,
            read_timeout: 1000,
            keepalive_timeout: 10_000,
        }
    }
}

/// Where sessions are kept.
pub(super) struct Kept {
    redis: Redis,
    prefix: String,
    put: Script,
    get: Script,
    end: Script,
}

/// How long a session is kept that never ends, in seconds.
const YEAR: u64 = 31_536_000;

impl Kept {
    /// # Errors
    /// A member that can't be used.
    pub(super) fn new(place: &Place) -> Result<Self, BuildError> {
        let single = Single {
            redis_host: Some(place.host.clone()),
            redis_port: place.port,
            redis_username: place.username.clone(),
            redis_password: place.password.clone(),
            redis_database: place.database,
            redis_timeout: place.connect_timeout + place.send_timeout + place.read_timeout,
            redis_ssl: place.ssl,
            redis_ssl_verify: place.ssl_verify,
            redis_keepalive_timeout: place.keepalive_timeout,
            redis_keepalive_pool: 1,
        };
        Ok(Self {
            redis: single.redis_named(place.server_name.clone())?,
            prefix: place.prefix.clone(),
            put: Script::new("return redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])"),
            get: Script::new("return redis.call('GET', KEYS[1])"),
            end: Script::new("return redis.call('DEL', KEYS[1])"),
        })
    }

    fn key(&self, id: &str) -> Vec<u8> {
        format!("{}:{id}", self.prefix).into_bytes()
    }

    /// Keeps a session as long as it can be used.
    ///
    /// # Errors
    /// The Redis can't be asked.
    pub(super) async fn put(
        &self,
        exchange: &Exchange,
        rules: &SessionConfig,
        id: &str,
        sealed: String,
    ) -> Result<(), Trouble> {
        let within = |seconds: u64| if seconds == 0 { YEAR } else { seconds.min(YEAR) };
        // Use is noted by and by only, so that one without use lies there a little longer.
        let idle = within(rules.idling_timeout).saturating_add(NOTE_SECONDS);
        let lasts = within(rules.lifetime()).min(idle);
        let (key, arguments) = (self.key(id), [sealed, lasts.to_string()]);
        let put = self.redis.run::<String>(exchange.worker(), &self.put, &key, &arguments);
        put.await.map(drop).map_err(trouble)
    }

    /// A session as it lies there.
    ///
    /// # Errors
    /// The Redis can't be asked.
    pub(super) async fn get(&self, exchange: &Exchange, id: &str) -> Result<Option<String>, Trouble> {
        self.redis.run(exchange.worker(), &self.get, &self.key(id), &[]).await.map_err(trouble)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The Redis can't be asked.
    pub(super) async fn end(&self, exchange: &Exchange, id: &str) -> Result<(), Trouble> {
        let key = self.key(id);
        let end = self.redis.run::<u64>(exchange.worker(), &self.end, &key, &[]);
        end.await.map(drop).map_err(trouble)
    }
}

fn trouble(trouble: crate::redis_link::Trouble) -> Trouble {
    Trouble(format!("sessions can't be reached: {trouble}"))
}
