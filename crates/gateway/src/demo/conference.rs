//! The sample Conference API: real HTTP on a port of its own, with the endpoints of the article.
//!
//! Answers are Collection+JSON, as the public API that the article used made them. Beside them stand the same data as GraphQL, gRPC and a
//! WebSocket, and a mirror that tells what has arrived: so that whatever a gateway does can be seen without another program.

mod data;
mod graphql;
mod grpc;
mod live;
mod mirror;
pub(crate) mod serve;

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use data::{SESSIONS, SPEAKERS, Session, Speaker, TOPICS};

/// The type of its answers.
const COLLECTION: &str = "application/vnd.collection+json";

/// The largest body that it reads, in bytes.
const MOST_BODY: usize = 1024 * 1024;

/// Starts the API on a free port of loopback and says where.
///
/// # Errors
/// No port is free.
pub(crate) async fn start() -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("could not start the conference API: no port is free on 127.0.0.1")?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        serve::forever(listener, router(&address.to_string(), None)).await;
    });
    Ok(address)
}

/// Its endpoints. Links in answers lead to `host`, or are relative where it is empty; `name` is told in a header of each answer.
pub(crate) fn router(host: &str, name: Option<&HeaderValue>) -> Router {
    let base = if host.is_empty() { String::new() } else { format!("http://{host}") };
    let router = Router::new()
        .route("/speakers", get(speakers))
        .route("/speaker/{id}", get(speaker))
        .route("/speaker/{id}/sessions", get(speaker_sessions))
        .route("/speaker/{id}/topics", get(speaker_topics))
        .route("/sessions", get(sessions))
        .route("/session/{id}", get(session))
        .route("/session/{id}/topics", get(session_topics))
        .route("/topics", get(topics))
        .route("/topic/{id}", get(topic))
        .route("/health", get(|| async { "well\n" }))
        .route("/live", get(live::open))
        .route("/graphql", get(graphql::answer_by_url).post(graphql::answer))
        .route(grpc::GET_SPEAKER, post(grpc::get_speaker))
        .route("/anything", any(mirror::tell))
        .route("/anything/{*rest}", any(mirror::tell))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "no such resource") })
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(Base(base));
    let Some(name) = name.cloned() else { return router };
    router.layer(axum::middleware::map_response(move |mut response: Response| {
        response.headers_mut().insert("x-served-by", name.clone());
        std::future::ready(response)
    }))
}

/// What links in answers begin with.
#[derive(Clone)]
struct Base(String);

async fn speakers(State(base): State<Base>) -> Response {
    collection(&base, "/speakers", SPEAKERS.iter().map(|speaker| speaker_item(&base, speaker)).collect())
}

async fn speaker(State(base): State<Base>, Path(id): Path<u32>) -> Response {
    let found = SPEAKERS.iter().find(|speaker| speaker.id == id);
    one(&base, &format!("/speaker/{id}"), found.map(|speaker| speaker_item(&base, speaker)))
}

async fn speaker_sessions(State(base): State<Base>, Path(id): Path<u32>) -> Response {
    if !SPEAKERS.iter().any(|speaker| speaker.id == id) {
        return problem(StatusCode::NOT_FOUND, "no such speaker");
    }
    let given = SESSIONS.iter().filter(|session| session.speaker == id);
    collection(
        &base,
        &format!("/speaker/{id}/sessions"),
        given.map(|session| session_item(&base, session)).collect(),
    )
}

async fn speaker_topics(State(base): State<Base>, Path(id): Path<u32>) -> Response {
    if !SPEAKERS.iter().any(|speaker| speaker.id == id) {
        return problem(StatusCode::NOT_FOUND, "no such speaker");
    }
    let mut ids: Vec<u32> = SESSIONS
        .iter()
        .filter(|session| session.speaker == id)
        .flat_map(|session| session.topics.iter().copied())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    collection(&base, &format!("/speaker/{id}/topics"), topic_items(&base, &ids))
}

async fn sessions(State(base): State<Base>) -> Response {
    collection(&base, "/sessions", SESSIONS.iter().map(|session| session_item(&base, session)).collect())
}

async fn session(State(base): State<Base>, Path(id): Path<u32>) -> Response {
    let found = SESSIONS.iter().find(|session| session.id == id);
    one(&base, &format!("/session/{id}"), found.map(|session| session_item(&base, session)))
}

async fn session_topics(State(base): State<Base>, Path(id): Path<u32>) -> Response {
    match SESSIONS.iter().find(|session| session.id == id) {
        Some(session) => {
            collection(&base, &format!("/session/{id}/topics"), topic_items(&base, session.topics))
        }
        None => problem(StatusCode::NOT_FOUND, "no such session"),
    }
}

async fn topics(State(base): State<Base>) -> Response {
    let all: Vec<u32> = (1..).take(TOPICS.len()).collect();
    collection(&base, "/topics", topic_items(&base, &all))
}

async fn topic(State(base): State<Base>, Path(id): Path<u32>) -> Response {
    one(&base, &format!("/topic/{id}"), topic_items(&base, &[id]).into_iter().next())
}

fn speaker_item(base: &Base, speaker: &Speaker) -> Value {
    let href = format!("{}/speaker/{}", base.0, speaker.id);
    json!({
        "href": href,
        "data": [{ "name": "Name", "value": speaker.name }, { "name": "Company", "value": speaker.company }],
        "links": [
            { "rel": "sessions", "href": format!("{href}/sessions") },
            { "rel": "topics", "href": format!("{href}/topics") },
        ],
    })
}

fn session_item(base: &Base, session: &Session) -> Value {
    let speaker =
        SPEAKERS.iter().find(|speaker| speaker.id == session.speaker).map_or("", |speaker| speaker.name);
    json!({
        "href": format!("{}/session/{}", base.0, session.id),
        "data": [
            { "name": "Title", "value": session.title },
            { "name": "Timeslot", "value": session.timeslot },
            { "name": "Speaker", "value": speaker },
        ],
        "links": [
            { "rel": "speaker", "href": format!("{}/speaker/{}", base.0, session.speaker) },
            { "rel": "topics", "href": format!("{}/session/{}/topics", base.0, session.id) },
        ],
    })
}

/// Topics are numbered from 1 in their order.
fn topic_items(base: &Base, ids: &[u32]) -> Vec<Value> {
    ids.iter()
        .filter_map(|id| {
            let at = usize::try_from(*id).ok()?.checked_sub(1)?;
            let title = TOPICS.get(at)?;
            Some(json!({ "href": format!("{}/topic/{id}", base.0), "data": [{ "name": "Title", "value": title }] }))
        })
        .collect()
}

fn one(base: &Base, path: &str, item: Option<Value>) -> Response {
    match item {
        Some(item) => collection(base, path, vec![item]),
        None => problem(StatusCode::NOT_FOUND, "no such resource"),
    }
}

fn collection(base: &Base, path: &str, items: Vec<Value>) -> Response {
    let body =
        json!({ "collection": { "version": "1.0", "href": format!("{}{path}", base.0), "items": items } });
    ([(header::CONTENT_TYPE, COLLECTION)], body.to_string()).into_response()
}

fn problem(status: StatusCode, title: &str) -> Response {
    (status, Json(json!({ "title": title, "status": status.as_u16() }))).into_response()
}
