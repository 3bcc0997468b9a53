//! The kinds of resources and the keys they live under, in APISIX's words.
//!
//! One table, so that a path, a message and a schema can't disagree about what a resource is called.

use std::fmt;

use serde_json::{Number, Value};

/// An id as Lua prints it, and as keys have it: a number without a fraction is the same as a whole one. `None` for what can be no id.
#[must_use]
pub fn id_text(id: &Value) -> Option<String> {
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(whole(number).unwrap_or_else(|| number.clone()).to_string()),
        _ => None,
    }
}

/// The whole number that a number with the fraction zero is, as far as both can be told apart; `None` where it is whole already, or isn't.
#[must_use]
pub fn whole(number: &Number) -> Option<Number> {
    /// Beyond this, not every whole number can be written with a fraction.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let with_fraction = number.as_f64().filter(|_| number.is_f64())?;
    if with_fraction.fract() != 0.0 || with_fraction.abs() > MOST {
        return None;
    }
    format!("{with_fraction:.0}").parse::<i64>().ok().map(Number::from)
}

/// A kind of resource that this version of Usher serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Which requests are taken, and what is done with them.
    Route,
    /// What several routes share.
    Service,
    /// A set of nodes and how one is chosen.
    Upstream,
    /// Somebody who calls, known by credentials.
    Consumer,
    /// One credential of a consumer; its id is `<consumer>/credentials/<id>`.
    Credential,
    /// A named set of plugins that routes may refer to.
    PluginConfig,
    /// Plugins that run for every request.
    GlobalRule,
    /// Plugins that several consumers share.
    ConsumerGroup,
    /// A certificate with its private key, by the names it serves; or a client's certificate.
    Ssl,
    /// What a plugin knows wherever it runs; its id is the plugin's name.
    PluginMetadata,
    /// A protobuf definition.
    Proto,
    /// Where references to secrets are looked up; its id is `<manager>/<id>`, such as `vault/1`.
    Secret,
    /// Which TCP or UDP connections are taken, and where they go.
    StreamRoute,
    /// What a field of a service's GraphQL schema costs; its id is `<service>/graphql_cost_decorations/<id>`.
    CostDecoration,
}

/// What stands between a consumer's name and the id of one of its credentials.
const CREDENTIALS: &str = "credentials";

/// What stands between a service's id and the id of one of its cost decorations.
const DECORATIONS: &str = "graphql_cost_decorations";

/// The managers that secrets can be looked up from.
pub const SECRET_MANAGERS: [&str; 3] = ["vault", "aws", "gcp"];

impl Kind {
    /// Every kind, in the order in which lists show them.
    pub const ALL: [Self; 14] = [
        Self::Route,
        Self::Service,
        Self::Upstream,
        Self::Consumer,
        Self::Credential,
        Self::PluginConfig,
        Self::GlobalRule,
        Self::ConsumerGroup,
        Self::Ssl,
        Self::PluginMetadata,
        Self::Proto,
        Self::Secret,
        Self::StreamRoute,
        Self::CostDecoration,
    ];

    /// The collection's name in URIs and keys, such as `routes`. Credentials live below `consumers`, cost decorations below `services`.
    #[must_use]
    pub const fn collection(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::Service | Self::CostDecoration => "services",
            Self::Upstream => "upstreams",
            Self::Consumer | Self::Credential => "consumers",
            Self::PluginConfig => "plugin_configs",
            Self::GlobalRule => "global_rules",
            Self::ConsumerGroup => "consumer_groups",
            Self::Ssl => "ssls",
            Self::PluginMetadata => "plugin_metadata",
            Self::Proto => "protos",
            Self::Secret => "secrets",
            Self::StreamRoute => "stream_routes",
        }
    }

    /// The word in messages, such as `plugin config`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Service => "service",
            Self::Upstream => "upstream",
            Self::Consumer => "consumer",
            Self::Credential => "credential",
            Self::PluginConfig => "plugin config",
            Self::GlobalRule => "global rule",
            Self::ConsumerGroup => "consumer group",
            Self::Ssl => "ssl",
            Self::PluginMetadata => "plugin_metadata",
            Self::Proto => "proto",
            Self::Secret => "secret",
            Self::StreamRoute => "stream route",
            Self::CostDecoration => "graphql cost decoration",
        }
    }

    /// The singular name that `GET /schema/{name}` takes, such as `plugin_config`.
    #[must_use]
    pub const fn schema_name(self) -> &'static str {
        match self {
            Self::PluginConfig => "plugin_config",
            Self::GlobalRule => "global_rule",
            Self::ConsumerGroup => "consumer_group",
            Self::StreamRoute => "stream_route",
            Self::CostDecoration => "graphql_cost_decoration",
            other => other.word(),
        }
    }

    /// The kind whose schema is called so, or whose collection is.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| {
            kind.schema_name() == name || (kind.collection() == name && !kind.is_below_another())
        })
    }

    /// Whether resources of this kind live below one of another, and share its collection.
    #[must_use]
    pub const fn is_below_another(self) -> bool {
        matches!(self, Self::Credential | Self::CostDecoration)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Where a resource lives: its kind and its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Its id: 1 to 64 characters; a consumer's user name; `<consumer>/credentials/<id>` for a credential; `<manager>/<id>` for a secret;
    /// `<service>/graphql_cost_decorations/<id>` for a cost decoration.
    pub id: String,
}

/// What every key of a resource begins with, as in APISIX's etcd layout.
pub const PREFIX: &str = "/apisix";

impl Key {
    /// A key from its parts.
    pub fn new(kind: Kind, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }

    /// A credential's key from its consumer and its own id.
    #[must_use]
    pub fn credential(consumer: &str, id: &str) -> Self {
        Self { kind: Kind::Credential, id: format!("{consumer}/{CREDENTIALS}/{id}") }
    }

    /// A cost decoration's key from its service and its own id.
    #[must_use]
    pub fn cost_decoration(service: &str, id: &str) -> Self {
        Self { kind: Kind::CostDecoration, id: format!("{service}/{DECORATIONS}/{id}") }
    }

    /// The id without that of the resource it lives below: of `jack/credentials/c1` it is `c1`. A secret's id stays whole.
    #[must_use]
    pub fn own_id(&self) -> &str {
        if !self.kind.is_below_another() {
            return &self.id;
        }
        self.id.splitn(3, '/').nth(2).unwrap_or(&self.id)
    }

    /// The resource that this one lives below: a credential's consumer, a cost decoration's service.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let kind = match self.kind {
            Kind::Credential => Kind::Consumer,
            Kind::CostDecoration => Kind::Service,
            _ => return None,
        };
        self.id.split_once('/').map(|(above, _)| Self::new(kind, above))
    }

    /// What the keys begin with of all that lives below this one, and of which kind that is: a consumer's credentials, a service's cost
    /// decorations.
    #[must_use]
    pub fn below(&self) -> Option<(String, Kind)> {
        match self.kind {
            Kind::Consumer => Some((Self::credential(&self.id, "").path(), Kind::Credential)),
            Kind::Service => Some((Self::cost_decoration(&self.id, "").path(), Kind::CostDecoration)),
            _ => None,
        }
    }

    /// The whole key, such as `/apisix/routes/1`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{PREFIX}/{}/{}", self.kind.collection(), self.id)
    }

    /// The key that a store's path spells, if it is one of a resource.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(PREFIX)?.strip_prefix('/')?;
        let (collection, id) = rest.split_once('/')?;
        if id.is_empty() {
            return None;
        }
        let below = |name: &str, own: Kind, inner: Kind| match id.split_once('/') {
            None => Some(Self::new(own, id)),
            Some((above, rest)) => rest
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('/'))
                .filter(|rest| !above.is_empty() && !rest.is_empty() && !rest.contains('/'))
                .map(|_| Self::new(inner, id)),
        };
        let kind = Kind::ALL.into_iter().find(|kind| kind.collection() == collection)?;
        match kind {
            Kind::Consumer => below(CREDENTIALS, Kind::Consumer, Kind::Credential),
            Kind::Service => below(DECORATIONS, Kind::Service, Kind::CostDecoration),
            Kind::Secret => {
                let (manager, rest) = id.split_once('/')?;
                let whole = SECRET_MANAGERS.contains(&manager) && !rest.is_empty() && !rest.contains('/');
                whole.then(|| Self::new(Kind::Secret, id))
            }
            _ => (!id.contains('/')).then(|| Self::new(kind, id)),
        }
    }

    /// The consumer that a credential or consumer key belongs to.
    #[must_use]
    pub fn consumer(&self) -> Option<&str> {
        match self.kind {
            Kind::Consumer => Some(&self.id),
            Kind::Credential => self.id.split_once('/').map(|(consumer, _)| consumer),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Kind};

    #[test]
    fn a_path_and_its_key_say_the_same() {
        for kind in Kind::ALL {
            let key = match kind {
                Kind::Credential => Key::credential("jack", "c1"),
                Kind::CostDecoration => Key::cost_decoration("s1", "d1"),
                Kind::Secret => Key::new(Kind::Secret, "vault/1"),
                _ => Key::new(kind, "a-1"),
            };
            assert_eq!(Key::parse(&key.path()), Some(key));
        }
    }

    #[test]
    fn foreign_paths_are_no_keys() {
        for path in [
            "/apisix/routes/",
            "/apisix/x/1",
            "/usher/routes/1",
            "/apisix/consumers/a/b",
            "/apisix/consumers/a/credentials/b/c",
            "routes/1",
            "/apisix/routes/1/2",
            "/apisix/secrets/vault",
            "/apisix/secrets/vault/1/2",
            "/apisix/secrets/other/1",
            "/apisix/services/1/graphql_cost_decorations/",
        ] {
            assert_eq!(Key::parse(path), None, "{path}");
        }
    }
}
