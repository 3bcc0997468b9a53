//! The last plans that can't be applied any more, and why: so that their owner is told the cause, and a person who was asked to agree.

use std::collections::VecDeque;

use usher_model::change::{Door, Principal};

use crate::service::escape::shortened;

/// Ended plans that are remembered; older ones are unknown again.
const REMEMBERED: usize = 1000;

/// How a plan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum End {
    /// Somebody is applying it, or went away while doing so.
    Taken,
    /// It was applied, as this revision.
    Applied(u64),
    /// What it was made for had changed.
    Stale,
    /// It could not be applied, and can't be later.
    Refused,
    /// A person said no.
    Declined,
    /// Its time was over.
    Expired,
    /// Newer plans took its room.
    Dropped,
}

struct Trace {
    id: String,
    name: String,
    door: Door,
    how: End,
    /// The person who decided, where one did.
    person: Option<String>,
}

/// The traces, oldest first.
#[derive(Default)]
pub(super) struct Ended {
    traces: VecDeque<Trace>,
}

impl Ended {
    /// Remembers an end; the last one of a plan counts.
    pub(super) fn remember(&mut self, id: &str, owner: &Principal, how: End) {
        self.forget(id);
        if self.traces.len() >= REMEMBERED {
            self.traces.pop_front();
        }
        let (name, door) = (owner.name.clone(), owner.door);
        self.traces.push_back(Trace { id: id.to_owned(), name, door, how, person: None });
    }

    /// Remembers who decided.
    pub(super) fn decided(&mut self, id: &str, person: &str) {
        if let Some(trace) = self.traces.iter_mut().rfind(|trace| trace.id == id) {
            trace.person = Some(person.to_owned());
        }
    }

    /// Forgets a plan that goes on.
    pub(super) fn forget(&mut self, id: &str) {
        // What ends now was mostly remembered just before.
        if let Some(at) = self.traces.iter().rposition(|trace| trace.id == id) {
            self.traces.remove(at);
        }
    }

    /// What became of a plan, whoever made it, for a person who may agree to plans.
    pub(super) fn to_a_person(&self, id: &str) -> String {
        let trace = self.traces.iter().rfind(|trace| trace.id == id);
        let person = trace.and_then(|trace| trace.person.as_deref()).map_or("somebody", |name| name);
        let (person, short) = (shortened(person, 64), shortened(id, 40));
        match trace.map(|trace| trace.how) {
            Some(End::Applied(revision)) => {
                format!("{person} agreed to this plan before you: it was applied as revision {revision}")
            }
            Some(End::Taken) => "somebody agreed to this plan just now, and it is being applied".to_owned(),
            Some(End::Declined) => format!("{person} declined this plan before you: nothing was changed"),
            Some(End::Expired) => "this plan waited too long and has expired: nothing was changed".to_owned(),
            Some(End::Stale) => {
                "this plan is stale: what it was made for was changed since, and nothing was applied"
                    .to_owned()
            }
            Some(End::Refused) => "this plan could not be applied: nothing was changed".to_owned(),
            Some(End::Dropped) => "this plan had to make room for newer ones: nothing was changed".to_owned(),
            None => format!(
                "no plan {short} waits here: it ended long ago, or was made before Usher was started the last time, which forgets plans"
            ),
        }
    }

    /// Why this principal has no such plan. What became of somebody else's plan is not told.
    pub(super) fn sentence(&self, who: &Principal, id: &str) -> String {
        if id.trim().is_empty() {
            return "no plan is named: the id is empty; give the id that the plan was made with, or plan again"
                .to_owned();
        }
        let mut own = self.traces.iter().filter(|trace| trace.name == who.name && trace.door == who.door);
        let end = own.find(|trace| trace.id == id).map(|trace| trace.how);
        let id = shortened(id, 40);
        match end {
            Some(End::Applied(revision)) => {
                format!(
                    "plan {id} was applied already, as revision {revision}; for a further change plan again"
                )
            }
            Some(End::Taken) => {
                format!(
                    "plan {id} is being applied by another call; look at the history, and if it is not there plan again"
                )
            }
            Some(End::Declined) => {
                format!("a person declined plan {id}; don't make the same plan again without asking why")
            }
            Some(End::Expired) => format!("plan {id} has expired; plan again"),
            Some(End::Dropped) => format!("plan {id} was dropped to make room for newer plans; plan again"),
            Some(End::Stale) => {
                format!(
                    "plan {id} ended because what it was made for had changed; look at what is there now, and plan again"
                )
            }
            Some(End::Refused) => format!("plan {id} ended because it could not be applied; plan again"),
            None => format!(
                "plan {id} never existed, ended long ago, or belongs to somebody else; look at the id, or plan again"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use usher_model::change::{Door, Principal, Role};

    use super::{End, Ended, REMEMBERED};

    #[test]
    fn only_the_last_ends_are_remembered_and_only_for_their_owner() {
        let who = |name: &str| Principal::new(name, Role::Chat, Door::Mcp);
        let mut ended = Ended::default();
        for at in 0..=REMEMBERED {
            ended.remember(&at.to_string(), &who("a"), End::Taken);
            ended.remember(&at.to_string(), &who("a"), End::Applied(7));
        }
        assert_eq!(ended.traces.len(), REMEMBERED);
        assert!(ended.sentence(&who("a"), "0").contains("never existed"));
        assert!(ended.sentence(&who("a"), "1").contains("applied already, as revision 7"));
        assert!(ended.sentence(&who("b"), "1").contains("belongs to somebody else"));
        assert!(ended.sentence(&who("a"), " ").contains("the id is empty"));
        assert!(ended.to_a_person("1").contains("somebody agreed to this plan before you"));
        ended.decided("1", "ann");
        assert!(
            ended
                .to_a_person("1")
                .contains("ann agreed to this plan before you: it was applied as revision 7")
        );
        assert!(ended.to_a_person("0").contains("started the last time"));
        ended.forget("1");
        assert!(ended.sentence(&who("a"), "1").contains("never existed"));
    }
}
