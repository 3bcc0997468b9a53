//! `data-mask` keeps secrets of requests out of what is logged: arguments, header fields, and members of bodies.
//!
//! Upstreams and clients see nothing of it. All loggers, the access log, traces and the list of recent requests do, those of global rules too:
//! whatever has to be hidden is hidden before the first of them looks. A body that can't be looked through (it is no JSON, or not there as a
//! whole) is logged as `***`, because nobody knows what is in it.
//!
//! Example: `{"request": [{"type": "query", "name": "token", "action": "replace", "value": "***"}, {"type": "body", "body_format": "json", "name": "$.card.number", "action": "regex", "regex": "^\\d+(\\d{4})$", "value": "****$1"}]}`

mod action;
mod path;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;

use action::Action;
use path::Path;

use crate::form;
use crate::schema::number;

/// `data-mask`.
pub(crate) static PLUGIN: Spec = Spec::of::<DataMask>();

/// What is logged where something can't be looked through.
const HIDDEN: &[u8] = b"***";
/// The longest text that an argument or a field may become, in bytes.
const LONGEST: usize = 64 << 10;

/// Keeps secrets of requests out of what is logged.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// What is hidden, in this order.
    #[serde(default)]
    #[schemars(length(max = 256))]
    request: Vec<Item>,
    /// The largest body that is looked through, in bytes. A larger one is logged as `***`.
    #[serde(default = "number::<1_048_576>")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    max_body_size: u64,
    /// How many fields of a form are looked at; further ones are not logged. 0 takes them all.
    #[serde(default = "number::<100>")]
    #[schemars(range(min = 0))]
    max_req_post_args: u64,
}

/// One thing to hide.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = rules)]
struct Item {
    /// Where it is.
    #[serde(rename = "type")]
    place: Where,
    /// How a body is read, for the type `body`.
    body_format: Option<BodyFormat>,
    /// The argument, the header field, the form's field, or the JSONPath of members (`$.user.password`, `$..token`, `$.cards[*].number`).
    name: String,
    /// What becomes of it: another value, a value with a part replaced, or nothing.
    action: What,
    /// The part to replace, for the action `regex`: a pattern (PCRE). Where it matches nothing the value stays.
    regex: Option<String>,
    /// What is put there, for the actions `replace` and `regex`; with `regex`, `$1` is the text of its first group.
    value: Option<String>,
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Where {
    Query,
    Header,
    Body,
}

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum BodyFormat {
    Json,
    Urlencoded,
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum What {
    Regex,
    Replace,
    Remove,
}

fn rules(schema: &mut Schema) {
    let rule = |member: &str, value: &str, needed: &[&str]| json!({ "if": { "properties": { member: { "const": value } } }, "then": { "required": needed } });
    schema.insert(
        "allOf".to_owned(),
        json!([
            rule("type", "body", &["body_format"]),
            rule("action", "regex", &["regex", "value"]),
            rule("action", "replace", &["value"]),
        ]),
    );
}

struct DataMask {
    arguments: Vec<(String, Action)>,
    fields: Vec<(String, Action)>,
    body: Option<Arc<BodyMask>>,
}

/// What is hidden in bodies.
struct BodyMask {
    form: Vec<(String, Action)>,
    json: Vec<(Path, Action)>,
    most_bytes: u64,
    most_fields: usize,
}

impl Plugin for DataMask {
    const NAME: &'static str = "data-mask";
    const PRIORITY: i32 = 1500;
    const PHASES: Phases<Self> = Phases { mask: Some(Self::mask), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let mut made = Self { arguments: Vec::new(), fields: Vec::new(), body: None };
        let most_fields = usize::try_from(config.max_req_post_args).unwrap_or(usize::MAX);
        let mut body = BodyMask {
            form: Vec::new(),
            json: Vec::new(),
            most_bytes: config.max_body_size,
            most_fields: if most_fields == 0 { usize::MAX } else { most_fields },
        };
        for (at, item) in config.request.into_iter().enumerate() {
            let wrong = |why: String| BuildError::new(format!("request[{at}]: {why}"));
            let action =
                Action::new(item.action, item.regex.as_deref(), item.value.as_deref()).map_err(wrong)?;
            match (item.place, item.body_format) {
                (Where::Query, _) => made.arguments.push((item.name, action)),
                (Where::Header, _) => made.fields.push((item.name, action)),
                (Where::Body, Some(BodyFormat::Urlencoded)) => body.form.push((item.name, action)),
                (Where::Body, _) => body.json.push((Path::parse(&item.name).map_err(wrong)?, action)),
            }
        }
        if !body.form.is_empty() || !body.json.is_empty() {
            made.body = Some(Arc::new(body));
        }
        Ok(made)
    }
}

impl DataMask {
    fn mask(&self, exchange: &mut Exchange) {
        if !self.arguments.is_empty() {
            exchange.request.mask_query(|query| {
                let (masked, changed) = pairs(query, &self.arguments, usize::MAX);
                changed.then_some(masked)
            });
        }
        for (name, action) in &self.fields {
            self.mask_field(exchange, name, action);
        }
        if let Some(body) = &self.body {
            let body = Arc::clone(body);
            let kind = exchange.request.head.get_str("content-type").unwrap_or_default();
            let is_form =
                kind.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
            exchange.mask_body(Rc::new(move |bytes, whole| body.masked(bytes, whole, is_form)));
        }
    }

    fn mask_field(&self, exchange: &mut Exchange, name: &str, action: &Action) {
        let head = &mut exchange.request.head;
        let values: Vec<Vec<u8>> = head.get_all(name).map(<[u8]>::to_vec).collect();
        if values.is_empty() {
            return;
        }
        head.remove(name);
        for value in values {
            let text = String::from_utf8_lossy(&value);
            let Some(masked) = action.apply(&text) else { continue };
            if let Err(error) = head.append(name, masked.as_bytes()) {
                tracing::debug!(%error, "a masked header field can't be written, and is left out");
            }
        }
    }
}

impl BodyMask {
    fn masked(&self, bytes: &[u8], whole: bool, is_form: bool) -> Vec<u8> {
        if !whole || bytes.len() as u64 > self.most_bytes {
            return HIDDEN.to_vec();
        }
        let mut text: Cow<'_, [u8]> = bytes.into();
        if !self.form.is_empty() {
            let (masked, changed) = pairs(&String::from_utf8_lossy(&text), &self.form, self.most_fields);
            if changed {
                text = masked.into_bytes().into();
            }
        }
        if !self.json.is_empty() {
            match serde_json::from_slice::<Value>(&text) {
                Ok(mut value) => {
                    let changed = self.json.iter().fold(false, |changed, (path, action)| {
                        path.edit(&mut value, &|found| action.apply_to(found)) || changed
                    });
                    if changed {
                        text = value.to_string().into_bytes().into();
                    }
                }
                Err(_) if is_form => {}
                Err(_) => return HIDDEN.to_vec(),
            }
        }
        text.into_owned()
    }
}

/// `a=b&c=d` with what these say of it, and whether that changed anything. Pairs beyond `most` are left out.
fn pairs(text: &str, actions: &[(String, Action)], most: usize) -> (String, bool) {
    let mut changed = false;
    let mut out = String::with_capacity(text.len());
    for (at, pair) in text.split('&').enumerate() {
        if at >= most {
            changed = true;
            break;
        }
        let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
        let name = form::decode(name);
        let mut new = Some(form::decode(value.unwrap_or_default()));
        let mut touched = false;
        for (_, action) in actions.iter().filter(|(known, _)| *known == name) {
            touched = true;
            new = new.and_then(|value| action.apply(&value));
        }
        changed |= touched;
        if touched && new.is_none() {
            continue;
        }
        if !out.is_empty() {
            out.push('&');
        }
        match new.filter(|_| touched) {
            Some(new) => {
                out.push_str(&form::escaped(&name));
                out.push('=');
                out.push_str(&form::escaped(&new));
            }
            None => out.push_str(pair),
        }
    }
    (out, changed)
}

#[cfg(test)]
mod tests;
