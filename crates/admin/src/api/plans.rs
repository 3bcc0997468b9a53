//! `plans`: a set of wanted changes, or a whole document, becomes a checked plan; and a plan becomes real.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use usher_model::change::{Edit, Role};
use usher_model::document::{self, Format};
use usher_model::kind::{Key, Kind};
use usher_model::openapi::Publish;
use usher_model::patch;

use super::answer::Answer;
use super::endpoint::{Call, Nothing};
use super::names;
use super::refusal::Refusal;
use super::shapes::{AppliedShape, PlanShape, SHOWN};
use crate::service::{Applied, Approval, Extent, Plan, Wanted};

/// What a plan is made of: `changes`, or a `document`, or an API that is published by its `openapi` document.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanRequest {
    /// Single changes; the last one of an object wins.
    #[serde(default)]
    changes: Option<Vec<WantedChange>>,
    /// A whole configuration: an object, or the same as YAML text. Usher's form, APISIX's standalone form and ADC's are understood.
    #[serde(default)]
    document: Option<Value>,
    /// An API to publish by its OpenAPI document: a service, and a route for each path with the methods that stand there. Imported again, it changes
    /// what is new in the document, and takes away what isn't in it any more.
    #[serde(default)]
    openapi: Option<OpenApiRequest>,
    /// With `document`: deletes what isn't in it. Default false.
    #[serde(default)]
    delete: bool,
    /// With `delete`: only of these kinds; empty means the kinds that the document holds.
    #[serde(default)]
    kinds: Vec<String>,
    /// With `document`: only objects that have these labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// What it is for; the history keeps the first 500 characters.
    #[serde(default)]
    intent: Option<String>,
    /// With `changes`: deletes what others still use. Default false.
    #[serde(default)]
    force: bool,
}

/// An API to publish.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OpenApi")]
struct OpenApiRequest {
    /// The OpenAPI document (3.0, 3.1, or Swagger 2.0), as an object or as text in YAML or JSON.
    document: Value,
    /// What stands before each path at the gateway, such as `/shop`. Default: the path of the document's server.
    #[serde(default)]
    prefix: Option<String>,
    /// The service's id. Default: made of the title.
    #[serde(default)]
    id: Option<String>,
    /// Where the API is, instead of the document's first server: `http://host:port/path`.
    #[serde(default)]
    server: Option<String>,
    /// The hosts that it is published under. Default: any.
    #[serde(default)]
    hosts: Vec<String>,
    /// Serves what chats need to use the API beside it, by a route of its own. Default false; once it is there, it stays.
    #[serde(default)]
    chat: bool,
    /// With `chat`: the header in which callers show a key to the gateway; `Authorization` means a bearer token. Default: what the document says.
    #[serde(default)]
    chat_key: Option<String>,
}

/// One wanted change.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantedChange {
    /// What to do.
    op: Op,
    /// The kind, such as `route` or `routes`.
    kind: String,
    /// The id; `jack/c1` is the credential c1 of the consumer jack.
    id: String,
    /// For `put` and `create` the whole object, for `patch` the members that change, null to take one away.
    #[serde(default)]
    value: Option<Value>,
    /// The revision (its ETag) that the object has to have; null where there must be none. Missing: whatever is there.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<u64>")]
    revision: Option<Option<u64>>,
}

/// What a change does.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Op {
    /// Creates the object, or replaces it.
    Put,
    /// Creates the object; refused where there is one.
    Create,
    /// Changes single members.
    Patch,
    /// Deletes the object.
    Delete,
}

/// Which part of a plan is shown.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shown {
    /// At most so many changes. Default 1000.
    limit: Option<usize>,
    /// Those behind the first so many. Default 0.
    after: usize,
}

/// How a plan is applied.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplyRequest {
    /// Who agreed. Default `client`.
    #[serde(default)]
    approval: ApprovalShape,
    /// Several transactions where the store can't take it in one; journaled, resumable and reversible. Default false.
    #[serde(default)]
    in_steps: bool,
}

/// Who agreed to a plan.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Approval")]
enum ApprovalShape {
    /// The client itself: enough for low and medium risk.
    #[default]
    Client,
    /// A person; who, and how they were asked, for the history.
    Person(String),
}

/// What is taken back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UndoRequest {
    /// The revision; the newest change that stands where there is none.
    #[serde(default)]
    revision: Option<u64>,
    /// What it is for.
    #[serde(default)]
    intent: Option<String>,
}

/// `POST /plans`.
pub(super) async fn create(
    call: Call,
    shown: Shown,
    request: PlanRequest,
) -> Result<Answer<PlanShape>, Refusal> {
    let plan = match (&request.changes, &request.document, &request.openapi) {
        (Some(_), None, None) => of_changes(&call, request).await?,
        (None, Some(_), None) => of_document(&call, request).await?,
        (None, None, Some(_)) => of_openapi(&call, request).await?,
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            return Err(Refusal::invalid(
                "a plan is made of changes, of a document or of an OpenAPI document, not of two of them",
            )
            .at("/document")
            .next("leave one of them out"));
        }
        (None, None, None) => {
            return Err(Refusal::invalid("the plan has neither changes nor a document")
                .at("/changes")
                .next("{\"changes\": [{\"op\": \"put\", \"kind\": \"route\", \"id\": \"1\", \"value\": {}}]} is one"));
        }
    };
    Ok(tagged(&plan, &shown))
}

/// `GET /plans/{id}`.
pub(super) async fn read(call: Call, shown: Shown, _: Nothing) -> Result<Answer<PlanShape>, Refusal> {
    let plan = call.service.find_plan(&call.who, call.parameter("id"))?;
    Ok(tagged(&plan, &shown))
}

/// `POST /plans/{id}/apply`.
pub(super) async fn apply(
    call: Call,
    _: Nothing,
    request: ApplyRequest,
) -> Result<Answer<AppliedShape>, Refusal> {
    let approval = match request.approval {
        ApprovalShape::Client => Approval::Client,
        // What holds a token of this role is a model or its client, and would agree with itself.
        ApprovalShape::Person(_) if call.who.role == Role::Chat => {
            return Err(Refusal::forbidden("a token with the role chat can't speak for a person")
                .at("/approval/person")
                .next("let a person apply the plan, with a key or token of their own, or in a chat that asks them"));
        }
        ApprovalShape::Person(how) if how.trim().is_empty() => {
            return Err(Refusal::invalid("the approval of a person says who agreed, and how")
                .at("/approval/person")
                .next("such as {\"approval\": {\"person\": \"Ada, in the review of Monday\"}}"));
        }
        ApprovalShape::Person(how) => Approval::Person(how),
    };
    let id = call.parameter("id");
    if let Some(tags) = if_match(&call.headers)? {
        let plan = call.service.find_plan(&call.who, id)?;
        if !tags.contains(&tag(&plan)) {
            return Err(precondition(format!("the plan {id} has the tag \"{}\"", tag(&plan))));
        }
    }
    let applied = if request.in_steps {
        call.service.apply_in_steps(&call.who, id, approval).await?
    } else {
        call.service.apply(&call.who, id, approval).await?
    };
    Ok(Answer::ok(in_force(&applied)?).tagged(applied.revision))
}

/// `POST /undo`.
pub(super) async fn undo(
    call: Call,
    shown: Shown,
    request: UndoRequest,
) -> Result<Answer<PlanShape>, Refusal> {
    let plan = call.service.plan_undo(&call.who, request.revision, request.intent).await?;
    Ok(tagged(&plan, &shown))
}

async fn of_changes(call: &Call, request: PlanRequest) -> Result<Plan, Refusal> {
    let PlanRequest { changes, intent, force, delete, kinds, labels, .. } = request;
    if delete || !kinds.is_empty() || !labels.is_empty() {
        return Err(Refusal::invalid("delete, kinds and labels are for documents")
            .at("/delete")
            .next("delete single objects with {\"op\": \"delete\"}"));
    }
    let changes = changes.unwrap_or_default();
    let header = if_match(&call.headers)?;
    let mut expected = header.map(|tags| revision_of(&tags, changes.len())).transpose()?;
    let mut wanted = Wanted { intent, force, ..Wanted::default() };
    for (at, change) in changes.into_iter().enumerate() {
        let here = |refusal: Refusal| refusal.inside(&format!("/changes/{at}"));
        let kind = names::kind(&change.kind).map_err(here)?;
        let key = names::key(kind, &change.id).map_err(here)?;
        let revision = change.revision.or_else(|| expected.take().map(Some));
        let (after, seen) = after(call, &key, change.op, change.value, revision).await.map_err(here)?;
        if let Some(seen) = seen {
            wanted.expect.push((key.clone(), seen));
        }
        wanted.edits.push(Edit { key, after });
    }
    let conditional = !wanted.expect.is_empty();
    let made = call.service.plan(&call.who, wanted).await;
    made.map_err(|error| {
        let refusal = Refusal::from(error);
        if conditional { refusal.preconditioned() } else { refusal }
    })
}

/// What an object shall be, and the revision that it has to have for that.
async fn after(
    call: &Call,
    key: &Key,
    op: Op,
    value: Option<Value>,
    revision: Option<Option<u64>>,
) -> Result<(Option<Value>, Option<Option<u64>>), Refusal> {
    let members = |value: Option<Value>| {
        value.filter(Value::is_object).ok_or_else(|| {
            Refusal::invalid(format!("{key} needs a value: an object"))
                .at("value")
                .next("delete takes none, the others do")
        })
    };
    match op {
        Op::Put => Ok((Some(members(value)?), revision)),
        Op::Create => Ok((Some(members(value)?), Some(None))),
        Op::Delete if value.is_some() => {
            Err(Refusal::invalid("delete takes no value").at("value").next("leave the value out"))
        }
        Op::Delete => Ok((None, revision)),
        Op::Patch => {
            let patch = members(value)?;
            let stored = call.service.get(&call.who, key).await?;
            let Some(mut stored) = stored else {
                return Err(Refusal::no_object(format!("{key} does not exist"))
                    .next("create it with {\"op\": \"put\"}"));
            };
            // Secrets are masked here; the service knows its own masks and keeps what they stand for.
            patch::merge(&mut stored.value, &patch);
            Ok((Some(stored.value), Some(revision.unwrap_or(Some(stored.modified)))))
        }
    }
}

async fn of_openapi(call: &Call, request: PlanRequest) -> Result<Plan, Refusal> {
    let PlanRequest { openapi, delete, kinds, labels, intent, force, .. } = request;
    if delete || force || !kinds.is_empty() || !labels.is_empty() {
        return Err(Refusal::invalid("delete, kinds, labels and force say nothing beside openapi")
            .at("/openapi")
            .next("leave them out: what the document doesn't name any more is taken away by itself"));
    }
    let Some(asked) = openapi else {
        return Err(Refusal::invalid("there is no OpenAPI document").at("/openapi"));
    };
    let document = match asked.document {
        Value::String(text) => document::value(&text).map_err(|error| {
            Refusal::invalid(format!("the OpenAPI document can't be read: {error}")).at("/openapi/document")
        })?,
        other => other,
    };
    let wish = Publish {
        prefix: asked.prefix,
        id: asked.id,
        server: asked.server,
        hosts: asked.hosts,
        chat: asked.chat,
        chat_key: asked.chat_key,
    };
    let (plan, _) = call.service.plan_openapi(&call.who, &document, &wish, intent).await?;
    Ok(plan)
}

async fn of_document(call: &Call, request: PlanRequest) -> Result<Plan, Refusal> {
    let PlanRequest { document, delete, kinds, labels, intent, force, .. } = request;
    if force {
        return Err(Refusal::invalid("force is for changes: what a document deletes has to be unused")
            .at("/force")
            .next("leave it out"));
    }
    let (text, format) = match document.unwrap_or_default() {
        Value::String(text) => (text, Format::Yaml),
        Value::Object(members) => (Value::Object(members).to_string(), Format::Json),
        _ => {
            return Err(Refusal::invalid("a document is an object, or YAML as a string")
                .at("/document")
                .next("put the object, or the text of the file, into the member \"document\""));
        }
    };
    let read = document::read(&text, format).map_err(|error| {
        Refusal::invalid(error.to_string()).at("/document").next("mend it there; nothing was changed")
    })?;
    drop(text);
    let mut extent: Vec<Kind> = Vec::with_capacity(kinds.len());
    for (at, word) in kinds.iter().enumerate() {
        extent.push(names::kind(word).map_err(|refusal| refusal.inside(&format!("/kinds/{at}")))?);
    }
    if delete && extent.is_empty() && read.objects.is_empty() {
        return Err(Refusal::invalid("the document holds nothing, so nothing says what is to be deleted")
            .at("/kinds")
            .next("name the kinds whose objects all go, such as {\"kinds\": [\"routes\"]}"));
    }
    if extent.is_empty() {
        extent = read.objects.iter().map(|(key, _)| key.kind).collect();
        extent.sort_unstable();
        extent.dedup();
    }
    let extent = Extent { kinds: extent, labels: labels.into_iter().collect(), delete };
    let mut plan = call.service.plan_document(&call.who, read.objects, extent, intent).await?;
    plan.warnings.splice(0..0, read.warnings);
    Ok(plan)
}

/// A 2xx promises that every worker serves by the change.
pub(super) fn in_force(applied: &Applied) -> Result<AppliedShape, Refusal> {
    let shape = AppliedShape::of(applied);
    if applied.in_force || applied.waits {
        return Ok(shape);
    }
    let reasons = applied.warnings.join("; ");
    let message =
        format!("the change is stored as revision {}, but it is not in force: {reasons}", applied.revision);
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not_in_force", message)
        .next(format!("mend what is named, or undo revision {}", applied.revision))
        .beside("applied", json!(shape)))
}

fn tagged(plan: &Plan, shown: &Shown) -> Answer<PlanShape> {
    Answer::ok(PlanShape::page(plan, shown.after, shown.limit.unwrap_or(SHOWN))).tagged(tag(plan))
}

/// The tag of a plan: plans never change, so the id says it.
fn tag(plan: &Plan) -> String {
    plan.id.clone()
}

/// The tags of `If-Match` without their quotes; `None` where any will do.
fn if_match(headers: &HeaderMap) -> Result<Option<Vec<String>>, Refusal> {
    let mut tags = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(None);
        }
        for tag in text.split(',') {
            let bare = tag.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let bare = bare.filter(|bare| !bare.contains('"')).ok_or_else(|| {
                Refusal::new(StatusCode::BAD_REQUEST, "malformed", "If-Match holds no tag")
                    .at("If-Match")
                    .next("write the ETag of an answer with its quotes, such as \"12\"")
            })?;
            tags.push(bare.to_owned());
        }
    }
    Ok(Some(tags).filter(|tags| !tags.is_empty()))
}

/// The revision that `If-Match` names, for a plan of one change.
fn revision_of(tags: &[String], changes: usize) -> Result<u64, Refusal> {
    let one = || {
        Refusal::new(StatusCode::BAD_REQUEST, "malformed", "If-Match fits a plan of one change and one tag")
    };
    let ([tag], 1) = (tags, changes) else {
        return Err(one().at("If-Match").next("give each change its own \"revision\""));
    };
    tag.parse().map_err(|_| precondition(format!("no object has the tag \"{tag}\"")))
}

fn precondition(message: String) -> Refusal {
    Refusal::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", message)
        .at("If-Match")
        .next("read it again and repeat the change")
}

/// Tells `null` from nothing at all.
fn given<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(reader).map(Some)
}
