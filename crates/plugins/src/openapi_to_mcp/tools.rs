//! A document's operations as tools: what each is called, what it says of itself, what it takes.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};
use usher_model::openapi::operation_name;

use super::parameter::{Parameter, Place};
use super::path::Path;
use super::schema::{Writer, fill};
use crate::kept_document::MAX_BYTES;
use crate::oas_validator::schema::Compiler;
use crate::request_validation::rules::Rules;

/// The largest document in YAML, in bytes: a worker does nothing else while it reads one.
const MAX_YAML_BYTES: usize = 1 << 20;
/// How many tools there may be.
pub(super) const MOST_TOOLS: usize = 500;
/// Characters that a tool says of itself.
const MOST_WORDS: usize = 1_024;
/// Characters that the whole says of itself.
const MOST_INSTRUCTIONS: usize = 2_000;
/// The methods of operations that are tools.
const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];
/// Where a document says more of an operation as a tool.
const ANNOTATIONS: &str = "x-mcp-annotations";
/// What it may say there.
const HINTS: [&str; 4] = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];

/// What a user wants of a document.
pub(super) struct Wish {
    /// Whether all arguments lie at the top.
    pub(super) flatten: bool,
    /// The operations that become tools; all of them by default.
    pub(super) operations: Option<Vec<String>>,
    /// Header fields that arguments can't set, in lower case.
    pub(super) taken_headers: Vec<String>,
}

/// The tools of a document.
pub(super) struct Tools {
    pub(super) title: String,
    pub(super) version: String,
    pub(super) instructions: String,
    /// As `tools/list` shows them.
    pub(super) list: Value,
    /// What became no tool, a sentence each.
    pub(super) problems: Vec<String>,
    all: Vec<Tool>,
}

/// One of them.
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) path: Path,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) is_flat: bool,
    schema: Value,
    rules: OnceLock<Result<Rules, String>>,
}

/// How a body is sent.
pub(super) struct Body {
    pub(super) media_type: String,
    pub(super) kind: BodyKind,
}

/// What a body is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    Json,
    Form,
    /// A text that is sent as it is.
    Text,
}

impl Tools {
    /// The tools of a document in JSON or YAML.
    ///
    /// # Errors
    /// It is no document, or has none or too many operations.
    pub(super) fn read(text: &[u8], wish: &Wish) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("the document has {} bytes, at most {MAX_BYTES} are taken", text.len()));
        }
        let is_json = text.trim_ascii_start().first() == Some(&b'{');
        let root: Value = if is_json {
            serde_json::from_slice(text).map_err(|error| format!("the document is no JSON: {error}"))?
        } else {
            if text.len() > MAX_YAML_BYTES {
                return Err(format!(
                    "the document has {} bytes, at most {MAX_YAML_BYTES} are taken as YAML; write it as JSON",
                    text.len()
                ));
            }
            let text =
                std::str::from_utf8(text).map_err(|_| "the document is no text in UTF-8".to_owned())?;
            usher_model::document::value(text).map_err(|error| format!("the document is no YAML: {error}"))?
        };
        Self::of(&root, wish)
    }

    fn of(root: &Value, wish: &Wish) -> Result<Self, String> {
        let version = root.get("openapi").and_then(Value::as_str).unwrap_or_default();
        let is_old = version.starts_with("3.0");
        if !is_old && !version.starts_with("3.1") {
            return Err(format!(
                "its version is {version:?}; tools are made of OpenAPI 3.0 and 3.1, convert it first"
            ));
        }
        let paths = root.get("paths").and_then(Value::as_object).ok_or("it has no \"paths\"")?;
        let compiler = Compiler::new(root, is_old);
        let mut maker =
            Maker { compiler: &compiler, writer: Writer::new(&compiler), wish, names: BTreeSet::new() };
        let (mut all, mut list, mut problems, mut found) =
            (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
        for (path, item) in paths.iter().filter(|(path, _)| path.starts_with('/')) {
            let item = match compiler.resolve(item) {
                Ok(item) => item,
                Err(reason) => {
                    problems.push(format!("{path}: {reason}"));
                    continue;
                }
            };
            for method in METHODS {
                let Some(operation) = item.get(method) else { continue };
                let own = operation.get("operationId").and_then(Value::as_str);
                let name = operation_name(own, method, path, &mut maker.names);
                if let Some(wanted) = &wish.operations {
                    let is_it = |wanted: &&String| Some(wanted.as_str()) == own || **wanted == name;
                    let Some(wanted) = wanted.iter().find(is_it) else { continue };
                    found.insert(wanted.as_str());
                }
                match maker.tool(name, method, path, item, operation) {
                    Ok((tool, shown)) => {
                        all.push(tool);
                        list.push(shown);
                    }
                    Err(reason) => problems.push(format!("{} {path}: {reason}", method.to_ascii_uppercase())),
                }
                if all.len() > MOST_TOOLS {
                    return Err(format!(
                        "more than {MOST_TOOLS} of its operations would become tools; choose some by \"operations\""
                    ));
                }
            }
        }
        let missing = wish.operations.iter().flatten().filter(|name| !found.contains(name.as_str()));
        problems.extend(missing.map(|name| {
            format!("there is no operation {name:?}; write operationIds of the document in \"operations\"")
        }));
        if all.is_empty() {
            let why = problems.into_iter().next();
            return Err(why.unwrap_or_else(|| "it has no operation that can be a tool".to_owned()));
        }
        let word = |name: &str| root.get("info").and_then(|info| info.get(name)).and_then(Value::as_str);
        Ok(Self {
            title: cut(word("title").unwrap_or("api"), 100),
            version: cut(word("version").unwrap_or("1"), 100),
            instructions: cut(word("description").unwrap_or_default(), MOST_INSTRUCTIONS),
            list: list.into(),
            problems,
            all,
        })
    }

    /// The tool of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Tool> {
        self.all.iter().find(|tool| tool.name == name)
    }

    /// Compiles what is otherwise compiled at the first call.
    ///
    /// # Errors
    /// The first schema that can't be used.
    pub(super) fn compile(&self) -> Result<(), String> {
        self.all.iter().try_for_each(|tool| tool.rules().map(drop))
    }
}

impl Tool {
    /// Arguments with the defaults of the document, checked.
    ///
    /// # Errors
    /// What of them doesn't fit.
    pub(super) fn checked(&self, arguments: Map<String, Value>) -> Result<Map<String, Value>, String> {
        let mut arguments = Value::Object(arguments);
        if !self.is_flat {
            self.fill_groups(&mut arguments);
        }
        fill(&self.schema, &mut arguments);
        self.rules()?
            .check(&arguments)
            .map_err(|reason| format!("the arguments of {} don't fit: {reason}", self.name))?;
        match arguments {
            Value::Object(arguments) => Ok(arguments),
            _ => Err("the arguments are no object".to_owned()),
        }
    }

    /// A group that isn't there has defaults all the same.
    fn fill_groups(&self, arguments: &mut Value) {
        let Some(members) = arguments.as_object_mut() else { return };
        for place in [Place::Path, Place::Query, Place::Header] {
            let Some(schema) = self.schema.get("properties").and_then(|all| all.get(place.group())) else {
                continue;
            };
            if members.get(place.group()).is_none_or(Value::is_null) {
                let mut group = json!({});
                fill(schema, &mut group);
                if group.as_object().is_some_and(|group| !group.is_empty()) {
                    members.insert(place.group().to_owned(), group);
                }
            }
        }
    }

    fn rules(&self) -> Result<&Rules, String> {
        let compiled = self.rules.get_or_init(|| {
            let mut whole = self.schema.as_object().cloned().unwrap_or_default();
            whole.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
            Rules::new("openapi", whole)
                .map_err(|error| format!("the document's schema of {}: {}", self.name, error.message))
        });
        compiled.as_ref().map_err(Clone::clone)
    }
}

/// Makes tools of one document.
struct Maker<'d> {
    compiler: &'d Compiler<'d>,
    writer: Writer<'d>,
    wish: &'d Wish,
    names: BTreeSet<String>,
}

impl Maker<'_> {
    /// A tool, and how it is shown.
    ///
    /// # Errors
    /// Why the operation can't be one.
    fn tool(
        &mut self,
        name: String,
        method: &str,
        path: &str,
        item: &Value,
        operation: &Value,
    ) -> Result<(Tool, Value), String> {
        self.writer.next();
        let mut parameters = self.parameters(item, operation)?;
        let body = operation.get("requestBody").map(|body| self.compiler.resolve(body)).transpose()?;
        let body = match body {
            Some(written) if !matches!(method, "get" | "head") => {
                body_of(written)?.map(|body| (body, written))
            }
            _ => None,
        };
        let path = Path::new(path, &mut parameters)?;
        let schema = self.schema(&mut parameters, body.as_ref())?;
        let is_flat = self.wish.flatten;
        let shown = json!({
            "name": name,
            "description": described(method, path.written(), operation),
            "inputSchema": schema,
            "annotations": annotations(method, operation),
        });
        let body = body.map(|(body, _)| Body { media_type: body.media_type, kind: body.kind });
        let (method, rules) = (method.to_ascii_uppercase(), OnceLock::new());
        Ok((Tool { name, method, path, parameters, body, is_flat, schema, rules }, shown))
    }

    fn parameters(&self, item: &Value, operation: &Value) -> Result<Vec<Parameter>, String> {
        let listed = |value: &'_ Value| value.get("parameters").and_then(Value::as_array).cloned();
        let mut kept: Vec<Parameter> = Vec::new();
        // An operation's own goes before one of its path.
        for written in [operation, item].into_iter().filter_map(listed).flatten() {
            let Some(parameter) = Parameter::new(self.compiler.resolve(&written)?)? else { continue };
            let is_known = |known: &Parameter| known.name == parameter.name && known.place == parameter.place;
            let is_taken = parameter.place == Place::Header
                && self.wish.taken_headers.contains(&parameter.name.to_ascii_lowercase());
            if !is_taken && !kept.iter().any(is_known) {
                kept.push(parameter);
            }
        }
        Ok(kept)
    }

    fn schema(
        &mut self,
        parameters: &mut [Parameter],
        body: Option<&(SentBody<'_>, &Value)>,
    ) -> Result<Value, String> {
        let (mut properties, mut needed) = (Map::new(), Vec::new());
        for place in [Place::Path, Place::Query, Place::Header] {
            let (mut group, mut needed_of_group) = (Map::new(), Vec::new());
            for parameter in parameters.iter_mut().filter(|parameter| parameter.place == place) {
                let mut schema = self.writer.write(&parameter.schema)?;
                if let Some(members) = schema.as_object_mut()
                    && !parameter.description.is_empty()
                {
                    members.insert("description".to_owned(), cut(&parameter.description, MOST_WORDS).into());
                }
                let into = if self.wish.flatten { &mut properties } else { &mut group };
                if into.contains_key(&parameter.key) || parameter.key == "requestBody" {
                    parameter.key = format!("{}_{}", parameter.name, place.word());
                }
                if parameter.is_needed {
                    needed_of_group.push(Value::from(parameter.key.as_str()));
                }
                into.insert(parameter.key.clone(), schema);
            }
            if self.wish.flatten {
                needed.append(&mut needed_of_group);
            } else if !group.is_empty() {
                if !needed_of_group.is_empty() {
                    needed.push(place.group().into());
                }
                properties.insert(place.group().to_owned(), strict(group, needed_of_group));
            }
        }
        if let Some((body, written)) = body {
            let mut schema = match body.schema {
                Some(schema) if body.kind != BodyKind::Text => self.writer.write(schema)?,
                None if body.kind == BodyKind::Json => json!({}),
                None if body.kind == BodyKind::Form => json!({ "type": "object" }),
                _ => json!({ "type": "string", "description": format!("sent as {}", body.media_type) }),
            };
            if let (Some(members), Some(words)) =
                (schema.as_object_mut(), written.get("description").and_then(Value::as_str))
            {
                members.insert("description".to_owned(), cut(words, MOST_WORDS).into());
            }
            properties.insert("requestBody".to_owned(), schema);
            if written.get("required") == Some(&Value::Bool(true)) {
                needed.push("requestBody".into());
            }
        }
        Ok(strict(properties, needed))
    }
}

/// An object with these members and no others.
fn strict(properties: Map<String, Value>, needed: Vec<Value>) -> Value {
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let Some(members) = schema.as_object_mut()
        && !needed.is_empty()
    {
        members.insert("required".to_owned(), needed.into());
    }
    schema
}

/// The body that is sent, of those that an operation takes.
struct SentBody<'d> {
    media_type: String,
    kind: BodyKind,
    schema: Option<&'d Value>,
}

/// Chooses a body; `None` where the operation takes none.
///
/// # Errors
/// It takes only what can't be made of arguments.
fn body_of(written: &Value) -> Result<Option<SentBody<'_>>, String> {
    let Some(content) = written.get("content").and_then(Value::as_object).filter(|all| !all.is_empty())
    else {
        return Ok(None);
    };
    let kind_of = |media: &str| {
        let bare = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match bare.as_str() {
            "application/json" | "*/*" | "application/*" => Some((0, BodyKind::Json)),
            json if json.ends_with("+json") => Some((1, BodyKind::Json)),
            "application/x-www-form-urlencoded" => Some((2, BodyKind::Form)),
            "application/xml" => Some((3, BodyKind::Text)),
            text if text.starts_with("text/") || text.ends_with("+xml") => Some((3, BodyKind::Text)),
            _ => None,
        }
    };
    let known = content.iter().filter_map(|(media, told)| Some((kind_of(media)?, media, told)));
    let Some(((_, kind), media, told)) = known.min_by_key(|((rank, _), ..)| *rank) else {
        if written.get("required") != Some(&Value::Bool(true)) {
            return Ok(None);
        }
        let types: Vec<&str> = content.keys().map(String::as_str).collect();
        return Err(format!("a body of {} can't be made of arguments", types.join(", ")));
    };
    let media_type = if media.contains('*') { "application/json".to_owned() } else { media.clone() };
    Ok(Some(SentBody { media_type, kind, schema: told.get("schema") }))
}

fn described(method: &str, path: &str, operation: &Value) -> String {
    let word = |name: &str| operation.get(name).and_then(Value::as_str).map(str::trim).unwrap_or_default();
    let words = match (word("summary"), word("description")) {
        ("", "") => format!("{} {path}", method.to_ascii_uppercase()),
        ("", words) | (words, "") => words.to_owned(),
        (summary, description) if description.starts_with(summary) => description.to_owned(),
        (summary, description) => format!("{summary}\n\n{description}"),
    };
    cut(&words, MOST_WORDS)
}

/// What the method says, then what the document says.
fn annotations(method: &str, operation: &Value) -> Value {
    let mut hints = match method {
        "get" | "head" => {
            json!({ "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true })
        }
        "put" | "delete" => {
            json!({ "readOnlyHint": false, "destructiveHint": true, "idempotentHint": true })
        }
        // What a POST does to what is there, its method doesn't say; clients then take it for destructive.
        _ => json!({ "readOnlyHint": false, "idempotentHint": false }),
    };
    let told = operation.get(ANNOTATIONS);
    let Some(members) = hints.as_object_mut() else { return hints };
    for hint in HINTS {
        if let Some(value) = told.and_then(|told| told.get(hint)).filter(|value| value.is_boolean()) {
            members.insert(hint.to_owned(), value.clone());
        }
    }
    let title = told.and_then(|told| told.get("title")).or_else(|| operation.get("summary"));
    if let Some(title) = title.and_then(Value::as_str).map(str::trim).filter(|title| !title.is_empty()) {
        members.insert("title".to_owned(), cut(title, 100).into());
    }
    hints
}

/// A text of at most so many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}
