//! What keys are called in etcd: APISIX's below its prefix, ours below `/usher`, and what lies there that is no entry.

use std::sync::Arc;

use super::wire;

/// The two places that keys lie in. Each is loaded, watched and mirrored for itself, because etcd gives no order between two watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// `/apisix/`: what APISIX reads too.
    Resources,
    /// `/usher/`: journal, tokens and whatever else is ours.
    Own,
}

/// Our own keys whose values every process keeps at hand, because requests wait for them. The others are known by name, and read when asked for.
/// What a gateway reads when it starts has to be among them: it starts while etcd is away, too.
const KEPT: &[&str] =
    &["/usher/agents/", "/usher/chat/", "/usher/ends/", "/usher/head", "/usher/tokens/", "/usher/users/"];

/// The folders that `apisix init_etcd` makes, so that an empty list is no error there.
const COLLECTIONS: &[&str] = &[
    "upstreams",
    "plugins",
    "ssls",
    "stream_routes",
    "plugin_metadata",
    "routes",
    "services",
    "consumers",
    "global_rules",
    "protos",
    "plugin_configs",
    "consumer_groups",
    "secrets",
];

impl Space {
    /// What its keys begin with, as everybody else calls them.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Resources => "/apisix/",
            Self::Own => "/usher/",
        }
    }

    /// Where a key lies.
    pub(super) fn of(key: &str) -> Option<Self> {
        [Self::Resources, Self::Own].into_iter().find(|space| key.starts_with(space.prefix()))
    }

    /// Whether keys that begin with `prefix` may lie in it.
    pub(super) fn meets(self, prefix: &str) -> bool {
        prefix.starts_with(self.prefix()) || self.prefix().starts_with(prefix)
    }

    /// Whether the value of a key is kept at hand.
    pub(super) fn keeps(self, key: &str) -> bool {
        self == Self::Resources || KEPT.iter().any(|kept| key.starts_with(kept))
    }

    /// The prefixes whose values are kept at hand.
    pub(super) const fn kept(self) -> &'static [&'static str] {
        match self {
            Self::Resources => &["/apisix/"],
            Self::Own => KEPT,
        }
    }
}

/// The mapping for one prefix.
#[derive(Clone, Debug)]
pub(super) struct Names {
    resources: String,
    own: String,
}

impl Names {
    /// For a prefix as [`super::Options`] checked it: `/apisix`, or another without a slash at its end.
    pub(super) fn new(prefix: &str) -> Self {
        let own = if prefix == "/apisix" { "/usher/".to_owned() } else { format!("/usher{prefix}/") };
        Self { resources: format!("{prefix}/"), own }
    }

    fn base(&self, space: Space) -> &str {
        match space {
            Space::Resources => &self.resources,
            Space::Own => &self.own,
        }
    }

    /// What a key of ours, or a prefix of keys, is called in etcd.
    pub(super) fn in_etcd(&self, space: Space, key: &str) -> Vec<u8> {
        let inside = key.strip_prefix(space.prefix()).unwrap_or_default();
        [self.base(space).as_bytes(), inside.as_bytes()].concat()
    }

    /// What a key of etcd is called by everybody else; `None` for what is no entry: marks of folders, and what lies below [`Names::hidden`].
    pub(super) fn of_etcd(&self, space: Space, key: &[u8]) -> Option<Arc<str>> {
        let inside = std::str::from_utf8(key).ok()?.strip_prefix(self.base(space))?;
        let hidden = space == Space::Resources && inside.starts_with("usher/");
        (!hidden && !inside.is_empty() && !inside.ends_with('/'))
            .then(|| Arc::from(format!("{}{inside}", space.prefix())))
    }

    /// The first and the last key of a space.
    pub(super) fn range(&self, space: Space) -> (Vec<u8>, Vec<u8>) {
        let base = self.base(space).as_bytes();
        (base.to_vec(), wire::behind(base))
    }

    /// The first and the last key of what lies in a space below a prefix, which may reach beyond the space.
    pub(super) fn below(&self, space: Space, prefix: &str) -> (Vec<u8>, Vec<u8>) {
        if space.prefix().starts_with(prefix) {
            return self.range(space);
        }
        let key = self.in_etcd(space, prefix);
        let behind = wire::behind(&key);
        (key, behind)
    }

    /// A key among the resources that is no entry. It lies there so that the watch of the resources tells of it in order.
    pub(super) fn hidden(&self, name: &str) -> Vec<u8> {
        format!("{}usher/{name}", self.resources).into_bytes()
    }

    /// The marks that APISIX expects.
    pub(super) fn marks(&self) -> impl Iterator<Item = Vec<u8>> {
        COLLECTIONS.iter().map(|name| format!("{}{name}/", self.resources).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, Space};

    #[test]
    fn keys_are_called_as_apisix_calls_them() {
        for (prefix, space, ours, theirs) in [
            ("/apisix", Space::Resources, "/apisix/routes/1", "/apisix/routes/1"),
            ("/team/a", Space::Resources, "/apisix/routes/1", "/team/a/routes/1"),
            ("/apisix", Space::Own, "/usher/head", "/usher/head"),
            ("/team/a", Space::Own, "/usher/head", "/usher/team/a/head"),
        ] {
            let names = Names::new(prefix);
            assert_eq!(names.in_etcd(space, ours), theirs.as_bytes());
            assert_eq!(names.of_etcd(space, theirs.as_bytes()).as_deref(), Some(ours));
            assert_eq!(Space::of(ours), Some(space));
        }
        let names = Names::new("/apisix");
        for no_entry in
            ["/apisix/routes/", "/apisix/", "/apisix/usher/writers/1", "/other/routes/1", "/apisix"]
        {
            assert_eq!(names.of_etcd(Space::Resources, no_entry.as_bytes()), None, "{no_entry}");
        }
        assert_eq!(names.range(Space::Resources), (b"/apisix/".to_vec(), b"/apisix0".to_vec()));
        assert_eq!(Space::of("/other/1"), None);
        assert!(
            Space::Own.meets("/") && Space::Own.meets("/usher/history/") && !Space::Own.meets("/apisix/")
        );
        assert!(Space::Own.keeps("/usher/tokens/1") && !Space::Own.keeps("/usher/history/1"));
    }
}
