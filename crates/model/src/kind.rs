//! The kinds of resources and the keys they live under, in APISIX's words.
//!
//! One table, so that a path, a message and a schema can't disagree about what a resource is called.

use std::fmt;

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
}

impl Kind {
    /// Every kind, in the order in which lists show them.
    pub const ALL: [Self; 7] = [
        Self::Route,
        Self::Service,
        Self::Upstream,
        Self::Consumer,
        Self::Credential,
        Self::PluginConfig,
        Self::GlobalRule,
    ];

    /// The collection's name in URIs and keys, such as `routes`. Credentials live below `consumers`.
    #[must_use]
    pub const fn collection(self) -> &'static str {
        match self {
            Self::Route => "routes",
            Self::Service => "services",
            Self::Upstream => "upstreams",
            Self::Consumer | Self::Credential => "consumers",
            Self::PluginConfig => "plugin_configs",
            Self::GlobalRule => "global_rules",
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
        }
    }

    /// The singular name that `GET /schema/{name}` takes, such as `plugin_config`.
    #[must_use]
    pub const fn schema_name(self) -> &'static str {
        match self {
            Self::PluginConfig => "plugin_config",
            Self::GlobalRule => "global_rule",
            other => other.word(),
        }
    }

    /// The kind whose schema is called so, or whose collection is.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| {
            kind.schema_name() == name || (kind.collection() == name && *kind != Self::Credential)
        })
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
    /// Its id: 1 to 64 characters; a consumer's user name; `<consumer>/credentials/<id>` for a credential.
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
        Self { kind: Kind::Credential, id: format!("{consumer}/credentials/{id}") }
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
        if collection == Kind::Consumer.collection() {
            let kind = match id.split_once('/') {
                None => Kind::Consumer,
                Some((_, below)) if below.strip_prefix("credentials/").is_some_and(|c| !c.is_empty()) => {
                    Kind::Credential
                }
                Some(_) => return None,
            };
            return Some(Self::new(kind, id));
        }
        let kind = Kind::ALL.into_iter().find(|kind| kind.collection() == collection)?;
        (!id.contains('/')).then(|| Self::new(kind, id))
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
            "routes/1",
            "/apisix/routes/1/2",
        ] {
            assert_eq!(Key::parse(path), None, "{path}");
        }
    }
}
