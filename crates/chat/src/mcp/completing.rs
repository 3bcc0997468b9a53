//! What clients complete while a person types: the kinds and ids of resources, and the objects that a recipe is about.
//!
//! Whoever asks is told of what they may read anyway, through the same tool that lists it.

use rmcp::model::{ArgumentInfo, CompleteRequestParams, CompleteResult, CompletionInfo, Reference};
use serde_json::{Map, Value, json};
use usher_model::change::Principal;

use crate::catalogue::KINDS;
use crate::tools::Tools;

/// The template of objects, as the list of templates has it.
pub(super) const OBJECT: &str = "gateway://{kind}/{id}";

/// The words that go on from what was typed. What can't be completed has none, which is no error: a client only offers less.
pub(super) async fn complete(
    tools: &Tools,
    who: &Principal,
    request: &CompleteRequestParams,
) -> CompleteResult {
    let ArgumentInfo { name, value, .. } = &request.argument;
    let (values, has_more) = match (&request.r#ref, name.as_str()) {
        (Reference::Resource(template), "kind") if template.uri == OBJECT => {
            let kinds = KINDS.iter().filter(|kind| kind.starts_with(value.as_str()));
            (kinds.map(|kind| (*kind).to_owned()).collect(), false)
        }
        (Reference::Resource(template), "id") if template.uri == OBJECT => {
            let arguments = request.context.as_ref().and_then(|context| context.arguments.as_ref());
            match arguments.and_then(|arguments| arguments.get("kind")) {
                Some(kind) => ids(tools, who, kind, value).await,
                None => (Vec::new(), false),
            }
        }
        (Reference::Prompt(_), "route") => ids(tools, who, "route", value).await,
        _ => (Vec::new(), false),
    };
    CompleteResult::new(CompletionInfo::with_pagination(values, None, has_more).unwrap_or_default())
}

/// Ids of a kind that begin so, and whether there are more.
async fn ids(tools: &Tools, who: &Principal, kind: &str, begin: &str) -> (Vec<String>, bool) {
    let arguments = json!({ "kind": kind, "text": (!begin.is_empty()).then_some(begin) });
    let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
    let Ok(answer) = tools.look(who, "gateway_find", arguments).await else {
        return (Vec::new(), false);
    };
    let has_more = answer.structured.get("next").is_some_and(|next| !next.is_null());
    let items = answer.structured.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let ids = items.iter().filter_map(|item| item.get("id")?.as_str());
    let begin = begin.to_lowercase();
    (ids.filter(|id| id.to_lowercase().starts_with(&begin)).map(str::to_owned).collect(), has_more)
}
