//! `docs/tools.md`, made of the catalogue.

use serde_json::Value;

use super::{INSTRUCTIONS, Tool, Toolset, all, optional};

/// The page on the tools, in Markdown.
#[must_use]
pub fn manual() -> String {
    let mut page = String::from(
        "# Tools\n\n<!-- Made from crates/chat/src/catalogue.rs; UPDATE=1 on its test writes it anew. -->\n\n\
The same tools serve MCP, over HTTP and over standard input and output, and the built-in chat. How to connect: [agents.md](agents.md). How a \
change is planned, agreed to and undone: [changes.md](changes.md).\n\nWhat a client tells its model:\n\n> ",
    );
    page.push_str(INSTRUCTIONS);
    page.push_str("\n\n| tool | changes something | in short |\n|---|---|---|\n");
    for tool in all() {
        page.push_str(&format!(
            "| [`{}`](#{}) | {} | {} |\n",
            tool.name,
            tool.name,
            effect(tool),
            tool.title
        ));
    }
    page.push_str(
        "\nArguments that may be null may be left out. Lists have 25 items at most and say how to go on. Names are taken wherever ids are; a \
name that several objects have is asked back. An error says what failed, where, what is allowed, and which call comes next.\n",
    );
    for tool in all() {
        described(&mut page, tool);
    }
    page.push_str(
        "\n## Toolsets\n\nThese are off, because every tool costs tokens in every conversation; `chat.toolsets: [search]` in `config.yaml` switches a set \
on. All of them only read, as far as the caller's scope reaches, with secrets masked. The chat beside the console's pages has the tools above.\n\n\
| toolset | tools |\n|---|---|\n",
    );
    for (name, set) in Toolset::ALL {
        let tools: Vec<String> = optional()
            .iter()
            .filter(|tool| tool.set == Some(set))
            .map(|tool| format!("[`{}`](#{})", tool.name, tool.name))
            .collect();
        page.push_str(&format!("| `{name}` | {} |\n", tools.join(", ")));
    }
    for tool in optional() {
        described(&mut page, tool);
    }
    page
}

fn described(page: &mut String, tool: &Tool) {
    page.push_str(&format!("\n## {}\n\n{}\n\nArguments:\n\n", tool.name, tool.description));
    members(page, &tool.input);
    page.push_str("\nAnswers with:\n\n");
    members(page, &tool.output);
}

fn effect(tool: &Tool) -> &'static str {
    match (tool.hints.read_only, tool.hints.open_world) {
        (true, _) => "no",
        (false, false) => "the configuration",
        (false, true) => "what the backend does with a request",
    }
}

fn members(page: &mut String, schema: &Value) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        page.push_str("none\n");
        return;
    };
    for (name, member) in properties {
        page.push_str(&format!("- `{name}`: {}\n", kind(member)));
    }
}

/// A member's type in words.
fn kind(schema: &Value) -> String {
    if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
        return branches.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return choices
            .iter()
            .filter_map(Value::as_str)
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let word = schema.get("type").and_then(Value::as_str).unwrap_or("anything");
    match word {
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of {}", schema.get("items").map_or_else(|| "anything".to_owned(), kind)),
        "object" => match schema.get("properties").and_then(Value::as_object) {
            Some(members) => {
                let members: Vec<String> =
                    members.iter().map(|(name, member)| format!("{name}: {}", kind(member))).collect();
                format!("{{{}}}", members.join("; "))
            }
            None => "object".to_owned(),
        },
        other => other.to_owned(),
    }
}
