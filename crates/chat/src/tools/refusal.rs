//! An error that a model can act upon: what failed, where, what is allowed, what was probably meant, and the call that comes next.

use std::fmt;

use serde_json::Value;
use usher_admin::service::ServiceError;
use usher_model::kind::{Key, Kind};
use usher_pipeline::registry::Registry;

use super::repair::Hint;
use super::text::{clean, clean_lines};
use crate::catalogue::Tool;

/// Why a tool did nothing.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    what: String,
    at: Option<String>,
    meant: Option<String>,
    allowed: Option<String>,
    next: Option<String>,
}

impl Refusal {
    /// A refusal for this reason.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    /// Where it is: an argument or member as a JSON pointer.
    pub(crate) fn at(mut self, pointer: impl Into<String>) -> Self {
        self.at = Some(pointer.into()).filter(|pointer| !pointer.is_empty());
        self
    }

    /// What was probably meant.
    pub(crate) fn meant(mut self, word: Option<String>) -> Self {
        self.meant = word;
        self
    }

    /// What is allowed there.
    pub(crate) fn allowed(mut self, what: impl Into<String>) -> Self {
        self.allowed = Some(what.into());
        self
    }

    /// What to do next.
    pub(crate) fn next(mut self, call: impl Into<String>) -> Self {
        self.next = Some(call.into());
        self
    }

    /// The same with what every refusal of a tool has: the call that comes next, and where an argument is to blame, what may stand there.
    pub(crate) fn finished(mut self, tool: &Tool) -> Self {
        if let (Some(at), None) = (&self.at, &self.allowed) {
            self.allowed = words(&tool.input, at);
        }
        let next = || format!("{} again, with that put right", tool.name);
        self.next.get_or_insert_with(next);
        self
    }

    /// What is allowed and was meant in the resource that is to blame.
    pub(super) fn hinted(mut self, key: &Key, hint: Hint) -> Self {
        self.at = hint.at.map(|pointer| format!("{key} at {pointer}")).or(self.at);
        self.meant = self.meant.or(hint.meant);
        self.allowed = self.allowed.or(hint.allowed);
        self
    }

    /// The service's refusal, with the call that helps on.
    pub(crate) fn of(error: ServiceError, registry: &Registry) -> Self {
        let sentence = clean_lines(&error.to_string(), 2_000);
        match error {
            ServiceError::Invalid { key, pointer, .. } => {
                let place =
                    key.map(|key| format!("{key}{}{pointer}", if pointer.is_empty() { "" } else { " at " }));
                let refusal = Self::new(sentence.clone()).at(place.unwrap_or(pointer));
                about_plugins(refusal, &sentence, registry)
            }
            ServiceError::NotFound(key) => {
                let kind = key.kind.schema_name();
                Self::new(sentence).next(format!("gateway_find {{\"kind\":\"{kind}\"}} lists what there is"))
            }
            ServiceError::NeedsPerson { plan, place, .. } => {
                Self::new(sentence).next(without_a_person(&plan, place.as_deref()))
            }
            ServiceError::UnknownPlan(_) => Self::new(sentence)
                .at("/plan_id")
                .allowed("the plan_id of a plan of yours, within 15 minutes and not applied yet")
                .next("gateway_plan"),
            ServiceError::Stale { fresh: Some(fresh), .. } => super::plan::stale(sentence, &fresh),
            ServiceError::Stale { fresh: None, .. } | ServiceError::Conflict(_) => {
                Self::new(sentence).next("gateway_get what is there now, then gateway_plan again")
            }
            ServiceError::StillUsed(_) => {
                Self::new(sentence).next("change or delete in the same gateway_plan what still uses it")
            }
            ServiceError::NothingToUndo(_) | ServiceError::NoSuch(_) => Self::new(sentence)
                .at("/revision")
                .allowed("a revision of an applied change, or null for the newest")
                .next("gateway_history shows what was applied"),
            ServiceError::NotInForce(_) => Self::new(sentence)
                .next("the change is stored; gateway_overview lists problems, gateway_undo takes it back"),
            error if error.is_unknown_outcome() => Self::new(sentence)
                .next("gateway_history shows whether it was written; don't repeat the change before you have looked"),
            ServiceError::Store(_) => {
                Self::new(sentence).next("gateway_overview says how the store is; plan again once it takes changes")
            }
            _ => Self::new(sentence),
        }
    }
}

/// What a tool's schema takes at a place, in words.
fn words(schema: &Value, at: &str) -> Option<String> {
    let mut place = schema;
    for part in at.split('/').skip(1) {
        let inner = place.get("anyOf").and_then(|branches| branches.get(0)).unwrap_or(place);
        let below = inner.get("properties").and_then(|all| all.get(part));
        place = below.or_else(|| inner.get("items").filter(|_| part.parse::<usize>().is_ok()))?;
    }
    let (inner, or_null) = match place.get("anyOf").and_then(|branches| branches.get(0)) {
        Some(inner) => (inner, ", or null"),
        None => (place, ""),
    };
    if let Some(choices) = inner.get("enum").and_then(Value::as_array) {
        let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        return Some(format!("{}{or_null}", choices.join(", ")));
    }
    let names = |schema: &Value| {
        let members = schema.get("properties").and_then(Value::as_object)?;
        Some(members.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
    };
    let told = match inner.get("type").and_then(Value::as_str)? {
        "string" => "text".to_owned(),
        "integer" => "a whole number".to_owned(),
        "array" => match inner.get("items").and_then(names) {
            Some(names) => format!("a list of objects with {names}"),
            None => "a list".to_owned(),
        },
        "object" => format!("an object with {}", names(inner)?),
        other => other.to_owned(),
    };
    Some(format!("{told}{or_null}"))
}

/// What to do about a plan of high risk where nobody can be asked. `place` is its address in the console, where that is known.
pub(crate) fn without_a_person(plan: &str, place: Option<&str>) -> String {
    let place = match place {
        Some(place) => place.to_owned(),
        None => format!("/ui/approve/{plan} of the Admin port"),
    };
    format!(
        "tell the person: they can say the same change in `usher chat`, which asks at the terminal, or make it on the Admin API with an admin \
key; plan {plan} itself can only be applied through a client that can ask a person (MCP elicitation), or by a person who agrees to it in \
the console, at {place}, while it lasts"
    )
}

/// A sentence about a plugin gets the name that was meant, or the call that shows its settings.
fn about_plugins(refusal: Refusal, sentence: &str, registry: &Registry) -> Refusal {
    let between = |open: &str, close: char| {
        sentence.split_once(open).and_then(|(_, rest)| rest.split(close).next()).map(str::to_owned)
    };
    if let Some(unknown) = between("unknown plugin [", ']') {
        let meant = registry.nearest(&unknown);
        let next = "gateway_plugin_help {\"plugin\":null} lists all plugins";
        return refusal.meant(meant).allowed("the name of a plugin").next(next);
    }
    let judged =
        between("configuration of plugin ", ' ').or_else(|| between("configuration of stream plugin [", ']'));
    match judged {
        Some(plugin) if registry.find(&plugin).is_some() => {
            refusal.next(format!("gateway_plugin_help {{\"plugin\":\"{plugin}\"}} shows its settings"))
        }
        _ => refusal,
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for (label, text) in [
            ("where", &self.at),
            ("did you mean", &self.meant),
            ("allowed", &self.allowed),
            ("next", &self.next),
        ] {
            if let Some(text) = text {
                write!(f, "\n{label}: {text}")?;
            }
        }
        Ok(())
    }
}

/// A kind that isn't one of ours.
pub(super) fn unknown_kind(word: &str, pointer: &str) -> Refusal {
    let names = || Kind::ALL.into_iter().map(Kind::schema_name);
    let meant = Kind::named(word).map(|kind| kind.schema_name().to_owned());
    Refusal::new(format!("there is no kind {:?}", clean(word, 64)))
        .at(pointer)
        .meant(meant.or_else(|| usher_model::nearest::nearest(word, names())))
        .allowed(names().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use usher_admin::service::ServiceError;
    use usher_pipeline::registry::Registry;
    use usher_store::StoreError;

    use super::Refusal;

    #[test]
    fn a_store_that_fails_is_told_with_how_to_find_out_what_it_wrote() {
        for (error, sentence, next) in [
            (StoreError::Unknown("lost".to_owned()), "not known whether", "gateway_history shows whether"),
            (StoreError::Full, "the disk of the store is full", "gateway_overview says how the store is"),
        ] {
            let told = Refusal::of(ServiceError::Store(error), &Registry::new(&[])).to_string();
            assert!(told.contains(sentence) && told.contains(&format!("\nnext: {next}")), "{told}");
        }
    }
}
