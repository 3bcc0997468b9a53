//! One sentence being worked on: what is said to the person, and the way of a plan from its text to a verified change.

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use usher_model::kind::{Key, Kind};

use super::memory::Memory;
use super::{Event, Hear, Stop, verify};
use crate::client::{ClientError, Connection, Reply};
use crate::tools::clean_lines;

/// Characters of one thing that is said.
const MOST_SAID: usize = 20_000;
/// What a person is asked about a plan.
const QUESTION: &str = "Apply this plan?";

/// One sentence being worked on.
pub(super) struct Turn<'a> {
    pub(super) connection: &'a Connection,
    pub(super) memory: &'a mut Memory,
    hear: Hear<'a>,
}

/// A plan as it was made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) text: String,
    /// Whether the server asks a person too, and others may agree to it meanwhile.
    needs_person: bool,
}

impl Plan {
    /// The plan in an answer of `gateway_plan` or `gateway_undo`.
    pub(super) fn of(reply: &Reply) -> Option<Self> {
        let text = |name: &str| reply.structured.get(name)?.as_str().map(str::to_owned);
        let needs_person = reply.structured.get("needs_person") == Some(&Value::Bool(true));
        Some(Self { id: text("plan_id")?, text: text("text")?, needs_person })
    }
}

/// What came of a plan.
pub(super) enum Settled {
    /// The person said no.
    Declined,
    /// It is applied; what the tool answered, and what was seen when it was verified.
    Applied { reply: Value, seen: String, in_force: bool },
}

impl<'a> Turn<'a> {
    pub(super) fn new(connection: &'a Connection, memory: &'a mut Memory, hear: Hear<'a>) -> Self {
        Self { connection, memory, hear }
    }

    /// Says something. A model's words may hold what a terminal would obey, so they are cleaned like everything else.
    pub(super) fn say(&mut self, text: &str) {
        (self.hear)(Event::Say(&clean_lines(text.trim_end(), MOST_SAID)));
    }

    /// Tells that a model calls a tool.
    pub(super) fn tool(&mut self, name: &str) {
        (self.hear)(Event::Tool { name });
    }

    /// Shows a plan.
    pub(super) fn show(&mut self, plan: &Plan) {
        (self.hear)(Event::Plan(&plan.text));
    }

    /// Makes a plan of these changes and settles it. The answer is whether it was applied.
    pub(super) async fn propose(&mut self, changes: Vec<Value>, intent: &str) -> Result<bool, Stop> {
        let arguments = json!({ "changes": changes, "intent": intent });
        let reply = self.connection.call("gateway_plan", arguments).await?;
        self.settle_and_tell(&reply).await
    }

    /// Shows a plan, asks, applies, verifies, and says what came of it.
    pub(super) async fn settle_and_tell(&mut self, reply: &Reply) -> Result<bool, Stop> {
        let plan =
            Plan::of(reply).ok_or_else(|| Stop::Answer("the gateway made a plan without text".to_owned()))?;
        self.show(&plan);
        match self.settle(&plan).await? {
            Settled::Declined => {
                self.say("Not applied; nothing was changed.");
                Ok(false)
            }
            Settled::Applied { seen, in_force, .. } => {
                self.say(&seen);
                Ok(in_force)
            }
        }
    }

    /// Asks about a plan that was shown, applies it, and verifies. Nothing is applied without the person's yes.
    pub(super) fn settle<'s>(&'s mut self, plan: &'s Plan) -> BoxFuture<'s, Result<Settled, ClientError>> {
        Box::pin(async move {
            if !self.connection.ask(QUESTION).await {
                self.connection.decline(&plan.id, plan.needs_person).await;
                return Ok(Settled::Declined);
            }
            let reply = self.connection.apply(&plan.id).await?.structured;
            let revision = reply.get("revision").and_then(Value::as_u64).unwrap_or_default();
            let in_force = reply.get("in_force") == Some(&Value::Bool(true));
            let applied = applied(&reply);
            self.memory.revision = Some(revision);
            self.memory.changed(&applied.iter().map(|(_, key)| key.clone()).collect::<Vec<_>>());
            let mut seen = if in_force {
                (self.hear)(Event::Applied { revision });
                verify::seen(self.connection, &applied).await?
            } else {
                format!(
                    "Stored as revision {revision}, but the gateway does not serve by it yet; ask `how is the gateway?` for its problems."
                )
            };
            for warning in reply
                .get("warnings")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
            {
                seen.push_str(&format!("\nWarning: {warning}"));
            }
            Ok(Settled::Applied { reply, seen, in_force })
        })
    }
}

/// What an applied plan did to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    Made,
    Changed,
    Deleted,
}

/// The objects that `gateway_apply` names, each as `+ route speaker`.
fn applied(reply: &Value) -> Vec<(Did, Key)> {
    let lines =
        reply.get("applied").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    lines.filter_map(headline).collect()
}

fn headline(line: &str) -> Option<(Did, Key)> {
    let (sign, rest) = line.split_once(' ')?;
    let did = match sign {
        "+" => Did::Made,
        "~" => Did::Changed,
        "-" => Did::Deleted,
        _ => return None,
    };
    // `consumer group g` begins like a consumer: the longest word is meant.
    let told = Kind::ALL.into_iter().filter_map(|kind| {
        let id = rest.strip_prefix(kind.word())?.strip_prefix(' ')?;
        Some(Key::new(kind, id))
    });
    told.min_by_key(|key| key.id.len()).map(|key| (did, key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_model::kind::{Key, Kind};

    use super::{Did, applied};

    #[test]
    fn the_objects_of_an_applied_plan_are_read_from_its_lines() {
        let reply = json!({ "applied": ["+ route speaker", "~ plugin config strict", "+ consumer group gold", "- credential jack/credentials/a", "and 3 more"] });
        assert_eq!(
            applied(&reply),
            [
                (Did::Made, Key::new(Kind::Route, "speaker")),
                (Did::Changed, Key::new(Kind::PluginConfig, "strict")),
                (Did::Made, Key::new(Kind::ConsumerGroup, "gold")),
                (Did::Deleted, Key::new(Kind::Credential, "jack/credentials/a")),
            ]
        );
    }
}
