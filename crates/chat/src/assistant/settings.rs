//! A plugin's settings as people read them: one line each, from the schema that programs read.

use serde_json::Value;

/// Characters of one setting's description.
const MOST: usize = 240;

/// What `gateway_plugin_help` answers about one plugin, for people.
pub(super) fn told(help: &Value) -> String {
    let text = |name: &str| help.get(name).and_then(Value::as_str).unwrap_or_default();
    let plugin = text("plugin");
    let mut lines = vec![format!("{plugin}: {}", text("summary"))];
    let schema = help.get("schema").unwrap_or(&Value::Null);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, setting) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        lines.push(format!("  {name}  {}", line(setting, required.contains(&name.as_str()))));
    }
    if let Some(example) = help.get("example") {
        lines.push(format!("Such as: add plugin {plugin} {example} to route speaker"));
    }
    lines.join("\n")
}

fn line(setting: &Value, is_required: bool) -> String {
    let kind =
        match (setting.get("enum").and_then(Value::as_array), setting.get("type").and_then(Value::as_str)) {
            (Some(values), _) => values.iter().map(plain).collect::<Vec<_>>().join(" | "),
            (None, Some(kind)) => kind.to_owned(),
            (None, None) => "several forms".to_owned(),
        };
    let default = match setting.get("default").filter(|default| !default.is_null()) {
        Some(default) => format!(", {} by default", plain(default)),
        None if is_required => ", required".to_owned(),
        None => String::new(),
    };
    let description =
        setting.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
    let description: String = description.chars().take(MOST).collect();
    let between = if description.is_empty() { "" } else { ": " };
    format!("({kind}{default}){between}{description}")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::told;

    #[test]
    fn settings_are_told_line_by_line() {
        let help = json!({
            "plugin": "limit", "summary": "Admits some.",
            "schema": { "properties": {
                "count": { "type": "integer", "description": "How many." },
                "mode": { "enum": ["a", "b"], "default": "a" },
                "any": { "anyOf": [] },
            }, "required": ["count"] },
            "example": { "count": 1 },
        });
        let wanted = "limit: Admits some.\n  count  (integer, required): How many.\n  mode  (a | b, a by default)\n  any  (several forms)\n\
            Such as: add plugin limit {\"count\":1} to route speaker";
        assert_eq!(told(&help), wanted);
    }
}
