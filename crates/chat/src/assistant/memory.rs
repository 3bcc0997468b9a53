//! What a conversation remembers: what `that` and `it` mean, and for a model what was said.

use std::collections::VecDeque;

use serde_json::Value;
use usher_model::kind::{Key, Kind};

use super::turn::Plan;

/// Messages that a model is shown again, at most.
const MOST_MESSAGES: usize = 60;
/// Characters of those messages, at most: some 15,000 tokens.
const MOST_LETTERS: usize = 60_000;

/// Plans that are remembered.
const MOST_PLANS: usize = 20;

/// The memory of one conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// The revision that this conversation made last.
    pub(super) revision: Option<u64>,
    /// The object that was shown or changed last.
    pub(super) object: Option<Key>,
    /// What was said with a model, oldest first; always whole turns.
    messages: VecDeque<Value>,
    /// Plans that a model made and that are not settled, oldest first.
    plans: VecDeque<Plan>,
}

impl Memory {
    /// The earlier messages.
    pub(super) fn messages(&self) -> impl Iterator<Item = &Value> {
        self.messages.iter()
    }

    /// Remembers a plan.
    pub(super) fn planned(&mut self, plan: Plan) {
        self.plans.push_back(plan);
        while self.plans.len() > MOST_PLANS {
            self.plans.pop_front();
        }
    }

    /// A plan that is not settled.
    pub(super) fn plan(&self, id: &str) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.id == id)
    }

    /// Forgets a plan that was settled.
    pub(super) fn settled(&mut self, id: &str) {
        self.plans.retain(|plan| plan.id != id);
    }

    /// Keeps one more turn, and forgets the oldest ones where it gets too much.
    pub(super) fn keep(&mut self, turn: Vec<Value>) {
        self.messages.extend(turn);
        while self.messages.len() > MOST_MESSAGES || self.letters() > MOST_LETTERS {
            self.messages.pop_front();
            // A turn goes as a whole: an answer without its question would be refused by models.
            while self.messages.front().is_some_and(|message| message.get("role") != Some(&"user".into())) {
                self.messages.pop_front();
            }
        }
    }

    fn letters(&self) -> usize {
        self.messages.iter().map(|message| message.to_string().len()).sum()
    }

    /// Remembers what a plan changed: the route among its objects, else the first of them.
    pub(super) fn changed(&mut self, keys: &[Key]) {
        let spoken_of = keys.iter().find(|key| key.kind == Kind::Route).or_else(|| keys.first());
        if let Some(key) = spoken_of {
            self.object = Some(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{MOST_LETTERS, MOST_MESSAGES, Memory};

    #[test]
    fn old_turns_are_forgotten_as_a_whole() {
        let mut memory = Memory::default();
        for turn in 0..100 {
            memory.keep(vec![
                json!({ "role": "user", "content": turn }),
                json!({ "role": "assistant", "content": "" }),
                json!({ "role": "tool", "content": "" }),
            ]);
        }
        let kept: Vec<_> = memory.messages().collect();
        assert!(kept.len() <= MOST_MESSAGES);
        assert_eq!(kept[0]["role"], "user");
        assert_eq!(kept[kept.len() - 3]["content"], 99);
        memory.keep(vec![json!({ "role": "user", "content": "x".repeat(MOST_LETTERS) })]);
        assert_eq!(memory.messages().count(), 0, "what is too long alone is not kept");
    }
}
