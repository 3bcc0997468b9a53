//! `acl` admits or refuses by labels: those of the consumer, or those that an identity provider says of a user.
//!
//! It runs after authentication; a request that nobody authenticated is refused. Refusing labels are looked at first.
//!
//! Example: `{"allow_labels": {"team": ["payments", "platform"]}, "rejected_msg": "not your team's"}`

mod values;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::external_user;
use crate::schema::status;
use values::{Path, Reading};

/// `acl`.
pub(crate) static PLUGIN: Spec = Spec::of::<Acl>();

/// Admits or refuses by labels; at least one of the two lists has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = rules)]
struct Config {
    /// Where a user's labels stand in what the identity provider says of the user: `groups`, `$.realm_access.roles`.
    #[serde(default = "groups")]
    #[schemars(length(min = 1))]
    external_user_label_field: String,
    /// The label that these are in the two lists; by default the same text as `external_user_label_field`.
    #[schemars(length(min = 1))]
    external_user_label_field_key: Option<String>,
    /// How they are written: texts between separators, a JSON list in a text, or a list. By default whichever it looks like.
    external_user_label_field_parser: Option<Parser>,
    /// The separator of `segmented_text`, a pattern.
    #[schemars(length(min = 1))]
    external_user_label_field_separator: Option<String>,
    /// Labels of which one value has to be there.
    #[serde(default)]
    #[schemars(schema_with = "labels")]
    allow_labels: Option<BTreeMap<String, Vec<String>>>,
    /// Labels of which no value may be there.
    #[serde(default)]
    #[schemars(schema_with = "labels")]
    deny_labels: Option<BTreeMap<String, Vec<String>>>,
    /// The status of a refusal, 200 to 599.
    #[serde(default = "status::<403>")]
    #[schemars(range(min = 200, max = 599))]
    rejected_code: u16,
    /// What a refused client reads; by default that it is forbidden.
    rejected_msg: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Parser {
    SegmentedText,
    Json,
    Table,
}

fn groups() -> String {
    "groups".to_owned()
}

fn labels(_: &mut SchemaGenerator) -> Schema {
    let values = json!({ "type": "array", "minItems": 1, "items": { "type": "string" } });
    json_schema!({ "type": "object", "minProperties": 1, "patternProperties": { ".*": values } })
}

fn rules(schema: &mut Schema) {
    let parser = "external_user_label_field_parser";
    let condition = json!({ "required": [parser], "properties": { parser: { "const": "segmented_text" } } });
    let then = json!({ "required": ["external_user_label_field_separator"] });
    schema.insert("allOf".to_owned(), json!([{ "if": condition, "then": then }]));
    schema.insert(
        "anyOf".to_owned(),
        json!([{ "required": ["allow_labels"] }, { "required": ["deny_labels"] }]),
    );
}

struct Acl {
    field: Path,
    key: String,
    reading: Reading,
    allow: Option<BTreeMap<String, Vec<String>>>,
    deny: Option<BTreeMap<String, Vec<String>>>,
    unknown: FixedReply,
    forbidden: FixedReply,
}

impl Plugin for Acl {
    const NAME: &'static str = "acl";
    const PRIORITY: i32 = 2410;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Now(Self::restrict)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let field = config.external_user_label_field;
        let reading = match config.external_user_label_field_parser {
            None => Reading::Any,
            Some(Parser::Json) => Reading::Json,
            Some(Parser::Table) => Reading::List,
            Some(Parser::SegmentedText) => {
                let separator = config.external_user_label_field_separator.unwrap_or_default();
                Reading::segmented(&separator).map_err(|reason| {
                    BuildError::new(format!(
                        "property \"external_user_label_field_separator\" validation failed: {separator:?} is no pattern: {reason}"
                    ))
                })?
            }
        };
        let message = config.rejected_msg.as_deref().unwrap_or("The consumer is forbidden.");
        Ok(Self {
            field: Path::parse(&field).ok_or_else(|| {
                BuildError::new(format!(
                    "property \"external_user_label_field\" validation failed: {field:?} is no path; write something like $.realm_access.roles"
                ))
            })?,
            key: config.external_user_label_field_key.unwrap_or(field),
            reading,
            allow: config.allow_labels,
            deny: config.deny_labels,
            unknown: Reply::message(401, "Missing authentication.").fixed(),
            forbidden: Reply::message(config.rejected_code, message).fixed(),
        })
    }
}

impl Acl {
    fn restrict(&self, exchange: &mut Exchange) -> Flow {
        let admitted = if let Some(consumer) = exchange.consumer() {
            self.admits(&consumer.labels, &Reading::Any)
        } else if let Some(user) = external_user::kept(exchange) {
            let value = self.field.find(&user).cloned();
            let labels: Map<String, Value> =
                value.map(|value| (self.key.clone(), value)).into_iter().collect();
            self.admits(&labels, &self.reading)
        } else {
            return self.unknown.reply().into();
        };
        if admitted { Flow::Continue } else { self.forbidden.reply().into() }
    }

    fn admits(&self, labels: &Map<String, Value>, reading: &Reading) -> bool {
        let has = |wanted: &BTreeMap<String, Vec<String>>| {
            wanted
                .iter()
                .any(|(label, values)| labels.get(label).is_some_and(|value| reading.has_any(value, values)))
        };
        !self.deny.as_ref().is_some_and(has) && self.allow.as_ref().is_none_or(has)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, try_harness, try_harness_of};

    use super::PLUGIN;
    use crate::key_auth;

    fn bench(body: Value, label: Option<&str>) -> Harness {
        let bodies = Map::from_iter([("key-auth".to_owned(), json!({})), ("acl".to_owned(), body)]);
        let labels = label.map(|label| ("team".to_owned(), json!(label))).into_iter().collect();
        let bench = try_harness_of(&[&key_auth::PLUGIN, &PLUGIN], bodies).unwrap();
        bench.consumer("jack", "key-auth", &json!({ "key": "jack" }), labels)
    }

    #[test]
    fn consumers_are_judged_by_their_labels() {
        for (body, label, wanted) in [
            (json!({ "allow_labels": { "team": ["a", "b"] } }), Some("b"), 200),
            (json!({ "allow_labels": { "team": ["a", "b"] } }), Some("c"), 403),
            (json!({ "allow_labels": { "team": ["a"] } }), None, 403),
            (json!({ "allow_labels": { "group": ["a"] } }), Some("a"), 403),
            (json!({ "allow_labels": { "group": ["x"], "team": ["a"] } }), Some("a"), 200),
            (json!({ "allow_labels": { "team": ["a"] } }), Some("c, a"), 200),
            (json!({ "allow_labels": { "team": ["a"] } }), Some(r#"["c","a"]"#), 200),
            (json!({ "allow_labels": { "team": ["a"] } }), Some("[nonsense"), 403),
            (json!({ "deny_labels": { "team": ["a"] } }), Some("a"), 403),
            (json!({ "deny_labels": { "team": ["a"] } }), Some("ab"), 200),
            (json!({ "deny_labels": { "team": ["a"] } }), None, 200),
            (
                json!({ "deny_labels": { "team": ["a"] }, "allow_labels": { "team": ["a", "b"] } }),
                Some("a,b"),
                403,
            ),
        ] {
            let outcome = bench(body.clone(), label).send("GET", "/", &[("apikey", "jack")], "");
            assert_eq!(outcome.status(), wanted, "{body} {label:?}");
        }
    }

    #[test]
    fn the_refused_read_why() {
        let outcome = bench(json!({ "allow_labels": { "team": ["a"] } }), None).send(
            "GET",
            "/",
            &[("apikey", "jack")],
            "",
        );
        assert_eq!(outcome.text(), "{\"message\":\"The consumer is forbidden.\"}\n");
        let body = json!({ "allow_labels": { "team": ["a"] }, "rejected_code": 404, "rejected_msg": "gone" });
        let outcome = bench(body, None).send("GET", "/", &[("apikey", "jack")], "");
        assert_eq!((outcome.status(), outcome.text()), (404, "{\"message\":\"gone\"}\n"));
        let outcome = try_harness(&PLUGIN, json!({ "deny_labels": { "team": ["a"] } })).unwrap().get("/");
        assert_eq!((outcome.status(), outcome.text()), (401, "{\"message\":\"Missing authentication.\"}\n"));
    }

    #[test]
    fn bodies_that_can_not_work_are_refused() {
        let allow = json!({ "team": ["a"] });
        for body in [
            json!({}),
            json!({ "allow_labels": {} }),
            json!({ "allow_labels": { "team": [] } }),
            json!({ "allow_labels": { "team": "a" } }),
            json!({ "allow_labels": allow, "external_user_label_field_parser": "segmented_text" }),
            json!({ "allow_labels": allow, "external_user_label_field_parser": "segmented_text", "external_user_label_field_separator": "(" }),
            json!({ "allow_labels": allow, "external_user_label_field": "$..a[" }),
        ] {
            assert!(try_harness(&PLUGIN, body.clone()).is_err(), "{body}");
        }
    }
}
