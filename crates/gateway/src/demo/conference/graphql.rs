//! The conference as GraphQL: `speaker(id)`, `speakers`, `session(id)`, `sessions`, and between them `sessions` and `speaker`.
//!
//! Queries with variables and aliases, no fragments, no introspection: enough to see REST translated to it.

use apollo_parser::Parser;
use apollo_parser::cst::{Definition, Field, OperationDefinition, Selection, SelectionSet, Value as Given};
use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::data::{SESSIONS, SPEAKERS, Session, Speaker};

/// How deep a query may nest, and how many tokens it may have.
const DEEPEST: usize = 8;
const MOST_TOKENS: usize = 500;

/// What clients send (GraphQL over HTTP, section 5.1).
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    query: String,
    #[serde(default)]
    variables: Map<String, Value>,
    operation_name: Option<String>,
}

/// Something that has fields.
#[derive(Clone, Copy)]
enum Object {
    Root,
    Speaker(&'static Speaker),
    Session(&'static Session),
}

/// What a field leads to.
enum Found {
    Text(Value),
    One(Option<Object>),
    Many(Vec<Object>),
}

/// The same as arguments of a URL; the variables are JSON.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AskedByUrl {
    query: String,
    variables: Option<String>,
    operation_name: Option<String>,
}

/// A query as a body of JSON: `{"data": ...}`, or `{"errors": [...]}` with the first mistake.
pub(super) async fn answer(asked: Result<Json<Asked>, JsonRejection>) -> Response {
    match asked {
        Ok(Json(asked)) => told(&asked),
        Err(rejection) => (StatusCode::BAD_REQUEST, wrong(&rejection.body_text())).into_response(),
    }
}

/// The same for a query in the URL.
pub(super) async fn answer_by_url(asked: Result<Query<AskedByUrl>, QueryRejection>) -> Response {
    let asked = asked.map_err(|rejection| rejection.body_text()).and_then(|Query(asked)| {
        let variables = asked.variables.as_deref().unwrap_or("{}");
        let variables =
            serde_json::from_str(variables).map_err(|_| "variables are no JSON object".to_owned())?;
        Ok(Asked { query: asked.query, variables, operation_name: asked.operation_name })
    });
    match asked {
        Ok(asked) => told(&asked),
        Err(why) => (StatusCode::BAD_REQUEST, wrong(&why)).into_response(),
    }
}

fn told(asked: &Asked) -> Response {
    match run(asked) {
        Ok(data) => Json(json!({ "data": data })).into_response(),
        Err(why) => wrong(&why).into_response(),
    }
}

fn wrong(why: &str) -> Json<Value> {
    Json(json!({ "errors": [{ "message": why }] }))
}

fn run(asked: &Asked) -> Result<Value, String> {
    let tree = Parser::new(&asked.query).recursion_limit(DEEPEST).token_limit(MOST_TOKENS).parse();
    if let Some(error) = tree.errors().next() {
        return Err(error.message().to_owned());
    }
    let operation = operation(tree.document().definitions(), asked.operation_name.as_deref())?;
    if operation.operation_type().is_some_and(|kind| kind.query_token().is_none()) {
        return Err("only queries are answered".to_owned());
    }
    select(Object::Root, operation.selection_set(), &asked.variables)
}

fn operation(
    definitions: impl Iterator<Item = Definition>,
    name: Option<&str>,
) -> Result<OperationDefinition, String> {
    let mut operations = definitions.filter_map(|definition| match definition {
        Definition::OperationDefinition(operation) => Some(operation),
        _ => None,
    });
    match name {
        Some(name) => operations
            .find(|one| one.name().is_some_and(|its| its.text() == name))
            .ok_or_else(|| format!("there is no operation {name}")),
        None => operations.next().ok_or_else(|| "there is no operation".to_owned()),
    }
}

fn select(
    object: Object,
    set: Option<SelectionSet>,
    variables: &Map<String, Value>,
) -> Result<Value, String> {
    let set = set.ok_or("a field that has fields needs a selection")?;
    let mut out = Map::new();
    for selection in set.selections() {
        let Selection::Field(field) = selection else {
            return Err("fragments are not answered here".to_owned());
        };
        let name = field.name().map(|name| name.text().to_string()).unwrap_or_default();
        let alias = field.alias().and_then(|alias| alias.name()).map(|alias| alias.text().to_string());
        let value = match follow(object, &name, &field, variables)? {
            Found::Text(value) if field.selection_set().is_none() => value,
            Found::Text(_) => return Err(format!("{name} has no fields")),
            Found::One(None) => Value::Null,
            Found::One(Some(one)) => select(one, field.selection_set(), variables)?,
            Found::Many(many) => {
                let each = many.into_iter().map(|one| select(one, field.selection_set(), variables));
                Value::Array(each.collect::<Result<_, _>>()?)
            }
        };
        out.insert(alias.unwrap_or(name), value);
    }
    Ok(Value::Object(out))
}

fn follow(
    object: Object,
    name: &str,
    field: &Field,
    variables: &Map<String, Value>,
) -> Result<Found, String> {
    Ok(match (object, name) {
        (Object::Root, "speaker") => {
            let id = id(field, variables)?;
            Found::One(SPEAKERS.iter().find(|one| one.id.to_string() == id).map(Object::Speaker))
        }
        (Object::Root, "session") => {
            let id = id(field, variables)?;
            Found::One(SESSIONS.iter().find(|one| one.id.to_string() == id).map(Object::Session))
        }
        (Object::Root, "speakers") => Found::Many(SPEAKERS.iter().map(Object::Speaker).collect()),
        (Object::Root, "sessions") => Found::Many(SESSIONS.iter().map(Object::Session).collect()),
        (Object::Speaker(speaker), "id") => Found::Text(json!(speaker.id.to_string())),
        (Object::Speaker(speaker), "name") => Found::Text(json!(speaker.name)),
        (Object::Speaker(speaker), "company") => Found::Text(json!(speaker.company)),
        (Object::Speaker(speaker), "sessions") => {
            let given = SESSIONS.iter().filter(|session| session.speaker == speaker.id);
            Found::Many(given.map(Object::Session).collect())
        }
        (Object::Session(session), "id") => Found::Text(json!(session.id.to_string())),
        (Object::Session(session), "title") => Found::Text(json!(session.title)),
        (Object::Session(session), "timeslot") => Found::Text(json!(session.timeslot)),
        (Object::Session(session), "speaker") => {
            Found::One(SPEAKERS.iter().find(|one| one.id == session.speaker).map(Object::Speaker))
        }
        _ => return Err(format!("there is no field {name} here")),
    })
}

/// The argument `id`: a string, a number or a variable, as GraphQL's type ID takes them.
fn id(field: &Field, variables: &Map<String, Value>) -> Result<String, String> {
    let arguments = field.arguments().into_iter().flat_map(|arguments| arguments.arguments());
    let mut named = arguments.filter(|one| one.name().is_some_and(|name| name.text() == "id"));
    let given = named.next().and_then(|argument| argument.value()).ok_or("the argument id is missing")?;
    match given {
        Given::StringValue(text) => Ok(String::from(&text)),
        Given::IntValue(number) => {
            number.int_token().map(|token| token.text().to_owned()).ok_or_else(|| "id is empty".to_owned())
        }
        Given::Variable(variable) => {
            let name = variable.name().map(|name| name.text().to_string()).unwrap_or_default();
            match variables.get(&name) {
                Some(Value::String(text)) => Ok(text.clone()),
                Some(Value::Number(number)) => Ok(number.to_string()),
                _ => Err(format!("the variable {name} needs a string or a number")),
            }
        }
        _ => Err("id needs a string or a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Asked, run};

    fn asked(query: &str, variables: Value) -> Result<Value, String> {
        let Value::Object(variables) = variables else { panic!("an object is needed") };
        run(&Asked { query: query.to_owned(), variables, operation_name: None })
    }

    #[test]
    fn a_query_is_answered_by_its_selection() {
        let one = asked(
            "query Q($id: ID!) { who: speaker(id: $id) { name sessions { title } } none: session(id: 1) { title } }",
            json!({ "id": "1" }),
        );
        assert_eq!(
            one.unwrap(),
            json!({
                "who": { "name": "Amara Okafor", "sessions": [
                    { "title": "Designing APIs that survive their second year" },
                    { "title": "Hardening an admin API" },
                ] },
                "none": null,
            })
        );
    }

    #[test]
    fn what_can_not_be_answered_is_told() {
        for (query, part) in [
            ("{ speaker(id: 1) }", "selection"),
            ("{ speaker { name } }", "id is missing"),
            ("{ speaker(id: $id) { name } }", "variable id"),
            ("{ nothing }", "no field nothing"),
            ("{ speakers { ...F } } fragment F on S { name }", "fragments"),
            ("mutation { speakers { name } }", "only queries"),
            ("{ speakers { name { more } } }", "has no fields"),
            ("{", ""),
        ] {
            let why = asked(query, json!({})).unwrap_err();
            assert!(why.contains(part), "{query}: {why}");
        }
    }
}
