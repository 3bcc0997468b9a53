//! What MCP offers beside tools: recipes as prompts and as resources, and objects and changes as resources. All of it is read, nothing of it acts.

use rmcp::model::{
    CacheScope, ErrorCode, ErrorData, GetPromptRequestParams, GetPromptResult, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, Prompt, PromptArgument, PromptMessage,
    ReadResourceResult, Resource, ResourceContents, ResourceTemplate, Role,
};
use serde_json::{Map, Value, json};
use usher_model::change::Principal;

use super::{TOOLS_FRESH_MS, apps};
use crate::skills::{self, SKILLS, Skill};
use crate::tools::{Agreement, CameBy, Tools, clean};

/// What recipes' addresses begin with.
const SKILL: &str = "skill://";
/// What the addresses of objects and changes begin with.
const GATEWAY: &str = "gateway://";
/// Characters of a prompt's argument.
const MOST_ARGUMENT: usize = 2_000;

/// Every recipe as a prompt.
pub(super) fn prompts() -> ListPromptsResult {
    let prompt = |skill: &Skill| {
        let arguments = skill.arguments.iter().map(|(name, about, required)| {
            PromptArgument::new(*name).with_description(*about).with_required(*required)
        });
        Prompt::new(skill.name, Some(skill.description), Some(arguments.collect())).with_title(skill.title)
    };
    let mut result = ListPromptsResult::with_all_items(SKILLS.iter().map(prompt).collect());
    result.ttl_ms = Some(TOOLS_FRESH_MS);
    result.cache_scope = Some(CacheScope::Public);
    result
}

/// A recipe with what it is to be used on.
pub(super) fn prompt(request: &GetPromptRequestParams) -> Result<GetPromptResult, ErrorData> {
    let Some(skill) = skills::find(&request.name) else {
        let names: Vec<&str> = SKILLS.iter().map(|skill| skill.name).collect();
        return Err(invalid(format!(
            "there is no prompt {}; there are {}",
            clean(&request.name, 64),
            names.join(", ")
        )));
    };
    let mut text = format!("{}\n\n{}", skill.title, skill.steps);
    for (name, about, required) in skill.arguments {
        let given = request.arguments.as_ref().and_then(|arguments| arguments.get(*name));
        let given = given.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        match given.filter(|given| !given.trim().is_empty()) {
            Some(given) => text.push_str(&format!("\n{name}: {}", clean(&given, MOST_ARGUMENT))),
            None if *required => {
                return Err(invalid(format!("the prompt {} needs the argument {name}: {about}", skill.name)));
            }
            None => {}
        }
    }
    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)])
        .with_description(skill.description))
}

/// The recipes and the pages as resources. Objects aren't listed: `gateway_find` looks for them.
pub(super) fn resources() -> ListResourcesResult {
    let resource = |skill: &Skill| {
        Resource::new(format!("{SKILL}{}/SKILL.md", skill.name), skill.name)
            .with_title(skill.title)
            .with_description(skill.description)
            .with_mime_type("text/markdown")
    };
    let mut result =
        ListResourcesResult::with_all_items(SKILLS.iter().map(resource).chain(apps::resources()).collect());
    result.ttl_ms = Some(TOOLS_FRESH_MS);
    result.cache_scope = Some(CacheScope::Public);
    result
}

/// How objects and changes are called.
pub(super) fn templates() -> ListResourceTemplatesResult {
    let of = |template: &str, name: &str, about: &str| {
        ResourceTemplate::new(template, name).with_description(about).with_mime_type("application/json")
    };
    let mut result = ListResourceTemplatesResult::with_all_items(vec![
        of(
            super::completing::OBJECT,
            "object",
            "One object, secrets masked; kind as in gateway_find, such as route",
        ),
        of("gateway://change/{revision}", "change", "An applied change: who, when, what"),
    ]);
    result.ttl_ms = Some(TOOLS_FRESH_MS);
    result.cache_scope = Some(CacheScope::Public);
    result
}

/// Reads a resource as this principal may.
pub(super) async fn read(
    tools: &Tools,
    who: &Principal,
    uri: &str,
    from: &CameBy,
) -> Result<ReadResourceResult, ErrorData> {
    let missing = || {
        let shown = clean(uri, 200);
        let message = format!(
            "there is no resource {shown}; recipes are {SKILL}NAME/SKILL.md, objects {GATEWAY}KIND/ID, changes {GATEWAY}change/REVISION"
        );
        // The address in full, as clients look for it there.
        ErrorData::new(ErrorCode::INVALID_PARAMS, message, Some(json!({ "uri": clean(uri, 2_000) })))
    };
    if let Some(path) = uri.strip_prefix(SKILL) {
        let skill = path.strip_suffix("/SKILL.md").and_then(skills::find).ok_or_else(missing)?;
        let contents = ResourceContents::text(skill.document(), uri).with_mime_type("text/markdown");
        let mut result = ReadResourceResult::new(vec![contents]).with_ttl_ms(TOOLS_FRESH_MS);
        result.cache_scope = Some(CacheScope::Public);
        return Ok(result);
    }
    if uri.starts_with(apps::SCHEME) {
        let mut result =
            ReadResourceResult::new(vec![apps::read(uri).ok_or_else(missing)?]).with_ttl_ms(TOOLS_FRESH_MS);
        result.cache_scope = Some(CacheScope::Public);
        return Ok(result);
    }
    let (kind, id) = uri.strip_prefix(GATEWAY).and_then(|path| path.split_once('/')).ok_or_else(missing)?;
    let (tool, arguments) = match kind {
        "change" => {
            let revision: u64 = id.parse().map_err(|_| missing())?;
            ("gateway_history", json!({ "before": revision.saturating_add(1), "limit": 1 }))
        }
        kind => ("gateway_get", json!({ "kind": kind, "id": id })),
    };
    let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
    let answer = tools
        .call(who, tool, arguments, Agreement::Client, from)
        .await
        .map_err(|refusal| invalid(refusal.to_string()))?;
    let value = match kind {
        "change" => {
            let entry = answer.structured.pointer("/entries/0").cloned().ok_or_else(missing)?;
            // The newest before the next one is another one where this revision was no change.
            if entry.get("revision").map(Value::to_string).as_deref() != Some(id) {
                return Err(missing());
            }
            entry
        }
        _ => answer.structured,
    };
    let contents = ResourceContents::text(format!("{value:#}"), uri).with_mime_type("application/json");
    let mut result = ReadResourceResult::new(vec![contents]).with_ttl_ms(0);
    result.cache_scope = Some(CacheScope::Private);
    Ok(result)
}

fn invalid(message: String) -> ErrorData {
    ErrorData::new(ErrorCode::INVALID_PARAMS, message, None)
}
