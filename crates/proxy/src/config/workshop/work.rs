//! What one change makes the workshop do: each object once, and never before what it leans on.

use std::collections::BTreeMap;
use std::sync::Arc;

use usher_model::kind::Kind;

use super::Moved;

/// The objects to be built, in order.
#[derive(Default)]
pub(super) struct Work(BTreeMap<(Rank, Arc<str>), Moved>);

/// Objects lean on such of lower ranks only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// What others are given: certificates, secret managers, plugins' metadata, protobuf definitions.
    Given,
    /// What routes and consumers start from.
    Base,
    /// Consumers and their credentials.
    Person,
    /// Routes of both kinds.
    Route,
}

impl Rank {
    /// A kind's rank; `None` for kinds that nothing of the proxy uses.
    pub(super) const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Ssl | Kind::Secret | Kind::PluginMetadata | Kind::Proto => Some(Self::Given),
            Kind::Upstream | Kind::GlobalRule | Kind::Service | Kind::PluginConfig | Kind::ConsumerGroup => {
                Some(Self::Base)
            }
            Kind::Consumer | Kind::Credential => Some(Self::Person),
            Kind::Route | Kind::StreamRoute => Some(Self::Route),
            Kind::CostDecoration => None,
        }
    }
}

impl Work {
    /// An object moved.
    pub(super) fn add(&mut self, moved: Moved) {
        if let Some(rank) = Rank::of(moved.key.kind) {
            self.0.insert((rank, Arc::clone(&moved.path)), moved);
        }
    }

    /// Something that an object leans on moved; nothing is added where the object itself did.
    pub(super) fn again(&mut self, moved: Moved) {
        if let Some(rank) = Rank::of(moved.key.kind) {
            self.0.entry((rank, Arc::clone(&moved.path))).or_insert(moved);
        }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Option<Moved> {
        self.0.pop_first().map(|(_, moved)| moved)
    }

    /// The next one, if it is a consumer or a credential.
    pub(super) fn next_person(&mut self) -> Option<Moved> {
        let first = self.0.first_entry().filter(|entry| entry.key().0 == Rank::Person)?;
        Some(first.remove())
    }
}
