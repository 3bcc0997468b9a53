//! `gateway_plugin_help`: what a plugin takes, when it is asked for, instead of every plugin in every conversation.

use serde_json::{Map, Value, json};
use usher_pipeline::env::Env;
use usher_pipeline::spec::Spec;

use super::arguments::Arguments;
use super::refusal::Refusal;
use super::shorten::{MOST_JSON, shorten};
use super::text::clean;
use super::{Answer, Call};

/// Characters of a plugin's summary in the list of all.
const SUMMARY: usize = 140;

impl Call<'_> {
    pub(super) fn plugin_help(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let registry = self.service.registry();
        let Some(name) = arguments.text_or_null("plugin") else { return Ok(self.all_plugins()) };
        let Some(spec) = registry.find(name) else {
            return Err(Refusal::new(format!("there is no plugin {:?}", clean(name, 64)))
                .at("/plugin")
                .meant(registry.nearest(name))
                .allowed("the name of a plugin, or null for all of them")
                .next("gateway_plugin_help {\"plugin\":null} lists all plugins"));
        };
        Ok(self.one_plugin(spec))
    }

    fn all_plugins(&self) -> Answer {
        let mut text = Vec::new();
        let mut plugins = Vec::new();
        for spec in self.service.registry().list() {
            let summary = clean(first_sentence(self.summary(spec.name)), SUMMARY);
            text.push(format!("{}: {summary}", spec.name));
            plugins.push(json!({ "name": spec.name, "summary": summary }));
        }
        Answer { text: text.join("\n"), structured: json!({ "plugins": plugins }) }
    }

    fn one_plugin(&self, spec: &'static Spec) -> Answer {
        let registry = self.service.registry();
        let mut schema = registry.schema(spec.name).cloned().unwrap_or_default();
        let summary = self.summary(spec.name).to_owned();
        let phases = spec.phases.names();
        let example = sample(&schema).filter(|example| {
            let env = Env::new(self.service.process(), registry, "/usher/example");
            let checked = if spec.is_for_requests() {
                registry.check(spec.name, example, &env)
            } else {
                registry.check_on_connections(spec.name, example, &env)
            };
            checked.is_ok()
        });
        if let Some(members) = schema.as_object_mut() {
            members.remove("description");
            members.remove("$schema");
        }
        let is_cut = shorten(&mut schema, MOST_JSON);
        let mut text = format!(
            "{}: {summary}\npriority {}, phases {}\nsettings: {schema}",
            spec.name,
            spec.priority,
            phases.join(", ")
        );
        if is_cut {
            text.push_str(
                "\ncut where … stands; the Admin API has the whole schema under /apisix/admin/plugins/",
            );
            text.push_str(spec.name);
        }
        let mut structured = json!({
            "plugin": spec.name, "summary": summary, "phases": phases, "priority": spec.priority, "schema": schema,
        });
        let mut add = |name: &str, label: &str, value: Value| {
            text.push_str(&format!("\n{label}: {value}"));
            if let Some(members) = structured.as_object_mut() {
                members.insert(name.to_owned(), value);
            }
        };
        if let Some(example) = example {
            add("example", "example", example);
        }
        if let Some(credential) = registry.credential_schema(spec.name) {
            let mut credential = credential.clone();
            shorten(&mut credential, MOST_JSON / 4);
            add("credential_schema", "in a consumer's credential", credential);
        }
        text.push_str("\nevery plugin also takes _meta: disable, priority, filter, error_response");
        Answer { text, structured }
    }

    fn summary(&self, plugin: &str) -> &str {
        let schema = self.service.registry().schema(plugin);
        schema
            .and_then(|schema| schema.get("description"))
            .and_then(Value::as_str)
            .unwrap_or("no description")
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

/// A small value that a schema admits, as far as that can be told from the schema; the plugin's own check decides.
fn sample(schema: &Value) -> Option<Value> {
    if let Some(value) = schema.get("default").or_else(|| schema.get("const")) {
        return Some(value.clone());
    }
    for list in ["examples", "enum"] {
        if let Some(first) = schema.get(list).and_then(Value::as_array).and_then(|values| values.first()) {
            return Some(first.clone());
        }
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let mut members = Map::new();
        for name in required(schema) {
            members.insert(name.to_owned(), sample(properties.get(name)?)?);
        }
        return Some(members.into());
    }
    if let Some(branch) =
        ["anyOf", "oneOf"].into_iter().find_map(|list| schema.get(list)?.as_array()?.first())
    {
        return sample(branch);
    }
    match schema.get("type")?.as_str()? {
        "integer" | "number" => {
            let least = schema
                .get("minimum")
                .or_else(|| schema.get("exclusiveMinimum").filter(|least| least.is_number()));
            Some(least.and_then(Value::as_u64).map_or(1, |least| least.max(9) + 1).into())
        }
        "boolean" => Some(true.into()),
        "array" => Some(json!([sample(schema.get("items")?)?])),
        "object" => Some(json!({})),
        "string" => Some(match schema.get("format").and_then(Value::as_str) {
            Some("ipv4") => "192.0.2.1".into(),
            Some("ipv6") => "2001:db8::1".into(),
            Some("uri") => "http://127.0.0.1:8080/".into(),
            _ => "text".into(),
        }),
        _ => None,
    }
}

/// The members that have to be there: the schema's own, and those of the first of several choices.
fn required(schema: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let mut places = vec![schema];
    places.extend(schema.get("allOf").and_then(Value::as_array).into_iter().flatten());
    places.extend(["oneOf", "anyOf"].into_iter().filter_map(|list| schema.get(list)?.as_array()?.first()));
    for place in places {
        let here = place.get("required").and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
        names.extend(here.iter().filter_map(Value::as_str));
    }
    names.dedup();
    names
}
