//! A collection, or one resource of it: its key, its methods, and the sentences about what is missing in a path.

use axum::http::StatusCode;
use usher_model::kind::{Key, Kind};

use super::answer::Answer;
use super::place::Verb;

/// A collection or one resource of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Of which kind.
    pub(super) kind: Kind,
    /// For credentials: whose. For cost decorations: of which service. For secrets: the manager, where one is named.
    pub(super) parent: Option<String>,
    /// Which one; the collection where there is none. Of a secret it is `<manager>/<id>`.
    pub(super) id: Option<String>,
    /// Where inside of it, without slashes at its ends; empty for the whole.
    pub(super) sub_path: String,
}

impl Target {
    /// A target of what stands behind the collection in a path.
    pub(super) fn new(kind: Kind, parent: Option<&str>, rest: &[&str]) -> Self {
        let (id, below) = match rest {
            [] => (None, &[][..]),
            [id, below @ ..] => (Some((*id).to_owned()), below),
        };
        Self { kind, parent: parent.map(str::to_owned), id, sub_path: below.join("/") }
    }

    /// Two names make a secret: the manager's, and its own.
    pub(super) fn secret(rest: &[&str]) -> Self {
        match rest {
            [manager, id, below @ ..] => Self {
                kind: Kind::Secret,
                parent: Some((*manager).to_owned()),
                id: Some(format!("{manager}/{id}")),
                sub_path: below.join("/"),
            },
            few => Self::new(Kind::Secret, few.first().copied(), &[]),
        }
    }

    /// The key of the resource with this id.
    pub(super) fn key(&self, id: &str) -> Key {
        match (self.kind, self.parent.as_deref()) {
            (Kind::Credential, Some(consumer)) => Key::credential(consumer, id),
            (Kind::CostDecoration, Some(service)) => Key::cost_decoration(service, id),
            _ => Key::new(self.kind, id),
        }
    }

    /// The resource that this one lives below.
    pub(super) fn above(&self) -> Option<Key> {
        let kind = match self.kind {
            Kind::Credential => Kind::Consumer,
            Kind::CostDecoration => Kind::Service,
            _ => return None,
        };
        self.parent.as_deref().map(|parent| Key::new(kind, parent))
    }

    /// The key of the resource that the path names.
    ///
    /// # Errors
    /// It names a collection.
    pub(super) fn named(&self, verb: Verb) -> Result<Key, Answer> {
        self.id.as_deref().map(|id| self.key(id)).ok_or_else(|| self.nameless(verb))
    }

    /// What is said where an id is missing.
    pub(super) fn nameless(&self, verb: Verb) -> Answer {
        match (self.kind, verb) {
            (Kind::Secret, Verb::Patch) if self.parent.is_some() => Answer::bad("no secret id"),
            (Kind::PluginMetadata, Verb::Put) => Answer::bad("missing plugin name"),
            (kind, _) => Answer::bad(format!("missing {kind} id")),
        }
    }

    /// Whether this kind of resource has the method at all.
    ///
    /// # Errors
    /// 405 in APISIX's words.
    pub(super) fn admits(&self, verb: Verb) -> Result<(), Answer> {
        let has = match self.kind {
            Kind::Route | Kind::Service | Kind::Upstream | Kind::Ssl | Kind::CostDecoration => true,
            Kind::Proto | Kind::StreamRoute => verb != Verb::Patch,
            Kind::PluginConfig | Kind::GlobalRule | Kind::ConsumerGroup | Kind::Secret => verb != Verb::Post,
            Kind::Consumer | Kind::Credential | Kind::PluginMetadata => {
                !matches!(verb, Verb::Post | Verb::Patch)
            }
        };
        if has {
            return Ok(());
        }
        Err(Answer::error(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("not supported `{}` method for {}", verb.name(), self.kind),
        ))
    }

    /// Only PATCH goes inside a resource: APISIX looks over the rest of the path and would delete the whole route at
    /// `DELETE /routes/1/plugins/cors`.
    ///
    /// # Errors
    /// 400 for every other method with such a path.
    pub(super) fn refuse_sub_path(&self, verb: Verb) -> Result<(), Answer> {
        let whole_only = verb != Verb::Patch || self.kind == Kind::CostDecoration;
        if self.sub_path.is_empty() || !whole_only {
            return Ok(());
        }
        let only = if verb == Verb::Patch { "" } else { "only PATCH takes one; " };
        Err(Answer::bad(format!(
            "invalid sub-path: /{}: {only}{} is for the whole {}",
            self.sub_path,
            verb.name(),
            self.kind
        )))
    }
}
