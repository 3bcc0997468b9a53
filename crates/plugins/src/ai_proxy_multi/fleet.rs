//! The instances of one use of the plugin, and which of them is next: by priority, then in turns or by a key; or by what is asked.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use usher_model::template::Template;
use usher_model::variables::Variables as _;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::BuildError;

use super::meaning::{Meaning, Purpose};
use crate::ai::asked;
use crate::ai::instance::Instance;

/// The instances with a weight above 0, the highest priority first.
pub(super) struct Fleet {
    members: Vec<Member>,
    way: Way,
    pub(super) rules: Rules,
}

/// One instance.
pub(super) struct Member {
    pub(super) instance: Instance,
    pub(super) weight: u64,
    pub(super) priority: i64,
    pub(super) purpose: Purpose,
}

/// How one of a priority is chosen.
pub(super) enum Way {
    /// In turns: what each instance is owed.
    Turns(Mutex<Vec<i128>>),
    /// By what this says of the request.
    Key(Key),
    /// By what is asked.
    Meaning(Box<Meaning>),
}

impl Way {
    /// In turns.
    pub(super) const fn turns() -> Self {
        Self::Turns(Mutex::new(Vec::new()))
    }
}

/// What requests are told apart by.
pub(super) enum Key {
    Variable(String),
    Consumer,
    Text(Template),
}

/// When another instance is asked instead.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// An instance without tokens left is passed over.
    pub(super) out_of_tokens: bool,
    pub(super) http_429: bool,
    pub(super) http_5xx: bool,
    /// Further statuses.
    pub(super) statuses: Vec<u16>,
    /// How many more instances one request may be sent to.
    pub(super) most: Option<u64>,
    /// An answer that took longer than this is the client's.
    pub(super) within: Option<Duration>,
}

impl Rules {
    /// Whether any answer makes another instance be asked.
    pub(super) const fn go_by_status(&self) -> bool {
        self.http_429 || self.http_5xx || !self.statuses.is_empty()
    }

    /// Whether this one does.
    pub(super) fn cover(&self, status: u16) -> bool {
        (self.http_429 && status == 429)
            || (self.http_5xx && (500..600).contains(&status))
            || self.statuses.contains(&status)
    }
}

impl Fleet {
    /// A fleet of these, of which those of weight 0 are left out. `None` where nobody is left.
    ///
    /// # Errors
    /// They can't be told apart by what is asked.
    pub(super) fn new(mut members: Vec<Member>, way: Way, rules: Rules) -> Result<Option<Self>, BuildError> {
        members.retain(|member| member.weight > 0);
        members.sort_by_key(|member| std::cmp::Reverse(member.priority));
        let way = match way {
            Way::Turns(_) => Way::Turns(Mutex::new(vec![0; members.len()])),
            Way::Meaning(meaning) => Way::Meaning(Box::new(
                meaning.with(members.iter().map(|member| member.purpose.clone()).collect())?,
            )),
            key @ Way::Key(_) => key,
        };
        Ok((!members.is_empty()).then_some(Self { members, way, rules }))
    }

    /// How well each instance fits what is asked; nothing where that isn't what they are chosen by.
    pub(super) async fn scores(&self, exchange: &Exchange, body: &Map<String, Value>) -> Vec<f64> {
        match &self.way {
            Way::Meaning(meaning) => meaning.scores(exchange, body).await,
            Way::Turns(_) | Way::Key(_) => Vec::new(),
        }
    }

    /// The instance at this place.
    pub(super) fn instance(&self, at: usize) -> Option<&Instance> {
        self.members.get(at).map(|member| &member.instance)
    }

    /// The next instance that isn't among `passed`, which those are added to that have no tokens left; where `sparing` is false, they are taken too.
    pub(super) async fn pick(
        &self,
        exchange: &mut Exchange,
        passed: &mut Vec<usize>,
        scores: &[f64],
        sparing: bool,
    ) -> Option<usize> {
        let gates = if sparing { asked(exchange).gates.clone() } else { Vec::new() };
        'next: loop {
            let at = self.choose(exchange, passed, scores)?;
            let name = &self.instance(at)?.name;
            for gate in &gates {
                if !std::sync::Arc::clone(gate).admits(exchange, name).await {
                    passed.push(at);
                    continue 'next;
                }
            }
            return Some(at);
        }
    }

    /// Of the highest priority that has any left: those that are well, or all where nobody is. By what is asked, priorities don't count.
    fn choose(&self, exchange: &Exchange, passed: &[usize], scores: &[f64]) -> Option<usize> {
        let left = |at: &usize| !passed.contains(at);
        let well: Vec<usize> = self
            .members
            .iter()
            .enumerate()
            // Each is asked, so that each is probed from now on.
            .filter_map(|(at, member)| member.instance.is_well().then_some(at))
            .collect();
        let mut able: Vec<usize> = if well.iter().any(left) {
            well.into_iter().filter(left).collect()
        } else {
            (0..self.members.len()).filter(left).collect()
        };
        if matches!(self.way, Way::Meaning(_)) {
            let score = |at: &usize| scores.get(*at).copied().unwrap_or(f64::MIN);
            // The first of equals.
            return able.into_iter().rev().max_by(|one, other| score(one).total_cmp(&score(other)));
        }
        let priority = |at: usize| self.members.get(at).map(|member| member.priority);
        let highest = priority(*able.first()?);
        able.retain(|at| priority(*at) == highest);
        let weight = |at: usize| self.members.get(at).map_or(0, |member| member.weight);
        match &self.way {
            Way::Turns(owed) => {
                let mut owed = owed.lock().unwrap_or_else(PoisonError::into_inner);
                turn(&mut owed, &able, weight)
            }
            Way::Meaning(_) => None,
            Way::Key(key) => {
                let key = key.of(exchange);
                let name = |at: usize| self.instance(at).map_or("", |instance| &instance.name);
                let score = |at: &usize| (*at, weighted_hash(&key, name(*at), weight(*at)));
                Some(able.iter().map(score).max_by(|a, b| a.1.total_cmp(&b.1))?.0)
            }
        }
    }
}

impl Key {
    fn of(&self, exchange: &Exchange) -> Vec<u8> {
        let found = match self {
            Self::Variable(name) => exchange.variable(name).map(std::borrow::Cow::into_owned),
            Self::Consumer => exchange.consumer().map(|consumer| consumer.name.as_bytes().to_vec()),
            Self::Text(template) => {
                let mut text = Vec::new();
                template.render_into(exchange, &mut text);
                Some(text)
            }
        };
        found.unwrap_or_else(|| exchange.client.ip().to_string().into_bytes())
    }
}

/// The next in turns by weight among those who are able, spread evenly: whoever is owed most.
fn turn(owed: &mut [i128], able: &[usize], weight: impl Fn(usize) -> u64) -> Option<usize> {
    let (mut total, mut chosen) = (0, None);
    for at in able {
        let debt = owed.get_mut(*at)?;
        *debt += i128::from(weight(*at));
        total += i128::from(weight(*at));
        if chosen.is_none_or(|(_, most)| *debt > most) {
            chosen = Some((*at, *debt));
        }
    }
    let (at, _) = chosen?;
    *owed.get_mut(at)? -= total;
    Some(at)
}

/// How well an instance fits a key (rendezvous hashing with weights): one that goes takes only its own keys along.
fn weighted_hash(key: &[u8], name: &str, weight: u64) -> f64 {
    let mut hasher = DefaultHasher::new();
    (key, name).hash(&mut hasher);
    let share = ((hasher.finish() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -(weight as f64) / share.ln()
}

#[cfg(test)]
mod tests {
    use super::turn;

    #[test]
    fn turns_are_spread_by_weight_among_those_who_are_able() {
        let weights = [3, 1, 5];
        for (able, wanted) in
            [(&[0, 1][..], vec![0, 0, 1, 0]), (&[1], vec![1, 1]), (&[0, 2], vec![2, 0, 2, 0, 2, 2, 0, 2])]
        {
            let mut owed = vec![0; 3];
            let order: Vec<_> =
                wanted.iter().map(|_| turn(&mut owed, able, |at| weights[at]).unwrap()).collect();
            assert_eq!(order, wanted, "{able:?}");
        }
        assert_eq!(turn(&mut [0], &[], |_| 1), None);
    }
}
