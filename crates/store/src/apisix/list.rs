//! Everything that an APISIX holds, read collection by collection, a page at a time.
//!
//! Its pages are counted from the front, so that a deletion in between moves an object from one page to another: what seems to be gone is asked
//! for once more before it is believed ([`super::sync`]).

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use usher_model::kind::{Key, Kind};

use super::client::{Far, Trouble};
use super::object::Object;

/// Objects on one page; the most that APISIX gives.
const PAGE: usize = 500;

/// Pages of one collection at most.
const MOST_PAGES: usize = 2000;

/// Consumers (services) whose credentials (cost decorations) are looked at in one round. Where there are more, the rest is looked at in the
/// next rounds: APISIX has no list of all of them.
const LOOKED_AT: usize = 200;

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) objects: HashMap<Key, Object>,
    /// The collections that were read to their end.
    pub(super) kinds: HashSet<Kind>,
    /// The consumers and services whose inner objects were read.
    pub(super) parents: HashSet<Key>,
}

impl Found {
    /// Whether an object that wasn't found is gone, as far as this look can tell.
    pub(super) fn lacks(&self, key: &Key) -> bool {
        if self.objects.contains_key(key) {
            return false;
        }
        match key.parent() {
            Some(parent) => {
                self.parents.contains(&parent)
                    || (self.kinds.contains(&parent.kind) && !self.objects.contains_key(&parent))
            }
            None => self.kinds.contains(&key.kind),
        }
    }
}

/// Where the rounds through consumers and services are.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    credentials: usize,
    decorations: usize,
    /// Whether the far side has cost decorations; older ones don't.
    has_decorations: Option<bool>,
}

/// Reads everything.
///
/// # Errors
/// The far side can't be reached or refuses the key.
pub(super) async fn everything(far: &Far, rounds: &mut Rounds) -> Result<Found, Trouble> {
    let mut found = Found::default();
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_below_another()) {
        match collection(far, &format!("/{}", kind.collection()), kind, &mut found).await {
            Ok(()) => {
                found.kinds.insert(kind);
            }
            // A collection that it doesn't have, such as stream routes where that is off, holds nothing.
            Err(Trouble::Refused { status: 400 | 404 | 405, .. }) => {
                found.kinds.insert(kind);
            }
            Err(trouble) => return Err(trouble),
        }
    }
    inner(far, Kind::Consumer, Kind::Credential, &mut rounds.credentials, &mut found).await?;
    let has = match rounds.has_decorations {
        Some(has) => has,
        None => {
            let has = match far.get("/schema/graphql_cost_decoration").await {
                Ok(schema) => schema.is_some(),
                Err(Trouble::Refused { status: 400 | 404, .. }) => false,
                Err(trouble) => return Err(trouble),
            };
            rounds.has_decorations = Some(has);
            has
        }
    };
    if has {
        inner(far, Kind::Service, Kind::CostDecoration, &mut rounds.decorations, &mut found).await?;
    }
    Ok(found)
}

/// Reads the inner objects of the next consumers or services.
async fn inner(
    far: &Far,
    parents: Kind,
    kind: Kind,
    round: &mut usize,
    found: &mut Found,
) -> Result<(), Trouble> {
    let mut all: Vec<Key> = found.objects.keys().filter(|key| key.kind == parents).cloned().collect();
    all.sort();
    if all.is_empty() {
        return Ok(());
    }
    let begin = *round % all.len();
    let looked: Vec<Key> = all.iter().cycle().skip(begin).take(LOOKED_AT.min(all.len())).cloned().collect();
    *round = begin + looked.len();
    for parent in looked {
        let below = match kind {
            Kind::Credential => Key::credential(&parent.id, ""),
            _ => Key::cost_decoration(&parent.id, ""),
        };
        let path = format!("/{}/{}", kind.collection(), below.id.trim_end_matches('/'));
        match collection(far, &path, kind, found).await {
            Ok(()) => {
                found.parents.insert(parent);
            }
            // An older APISIX has none.
            Err(Trouble::Refused { status: 400 | 404 | 405, .. }) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(())
}

async fn collection(far: &Far, path: &str, kind: Kind, found: &mut Found) -> Result<(), Trouble> {
    let mut seen = 0;
    for page in 1..=MOST_PAGES {
        let Some(read) = far.get(&format!("{path}?page={page}&page_size={PAGE}")).await? else {
            return Ok(());
        };
        let total = read.body.get("total").and_then(Value::as_u64).unwrap_or_default();
        let items = match read.body.get("list") {
            Some(Value::Array(items)) => items.as_slice(),
            // An empty list may be written as an empty object.
            Some(Value::Object(members)) if members.is_empty() => &[],
            _ => {
                let said = read.body.to_string().chars().take(80).collect::<String>();
                return Err(Trouble::Away(format!("{path} was not answered with a list but with {said}")));
            }
        };
        for object in items.iter().filter_map(|item| Object::of(kind, item)) {
            found.objects.insert(object.key.clone(), object);
        }
        seen += items.len();
        if items.len() < PAGE || seen as u64 >= total {
            return Ok(());
        }
    }
    Err(Trouble::Away(format!("{path} holds more than {} objects", MOST_PAGES * PAGE)))
}
