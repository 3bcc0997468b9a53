//! What the plugins for models share: requests as JSON, the protocols that clients speak, the providers that are asked, and what an answer cost.
//!
//! A request to a model is an ordinary request to an upstream that the plugin brings along: the proxy's own pools, time limits and streaming serve
//! it, so that an answer that comes word by word goes on word by word.

pub(crate) mod amazon;
pub(crate) mod call;
pub(crate) mod config;
pub(crate) mod facts;
mod frames;
pub(crate) mod google;
pub(crate) mod instance;
pub(crate) mod message;
pub(crate) mod protocol;
pub(crate) mod provider;
mod translate;
pub(crate) mod usage;

#[cfg(test)]
pub(crate) use frames::tests::frame;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};
use usher_pipeline::body::{Body, BodyError};
use usher_pipeline::exchange::Exchange;
use usher_pipeline::reply::Reply;

use facts::UnderWay;
use translate::Translation;
use usage::Usage;

/// Whose place in a request it is: all plugins for models share it.
static SHARED: u64 = 0;

/// Says whether an instance has tokens left.
pub(crate) trait Gate {
    /// Whether this request may go to the instance. What that is bounded by is remembered for it.
    fn admits<'a>(
        self: Arc<Self>,
        exchange: &'a mut Exchange,
        instance: &'a Arc<str>,
    ) -> LocalBoxFuture<'a, bool>;
}

/// What is known of a request to a model.
#[derive(Clone, Default)]
pub(crate) struct Asked {
    /// Who bounds what instances may cost.
    pub(crate) gates: Vec<Arc<dyn Gate>>,
    /// When it was sent to the instance.
    pub(crate) since: Option<Instant>,
    /// `ai_chat`, or `ai_stream` for an answer that is asked for word by word.
    pub(crate) request_type: &'static str,
    /// The model that the client names.
    pub(crate) request_model: Arc<str>,
    /// The model that is asked for.
    pub(crate) model: Arc<str>,
    /// How the answer is translated into the protocol that the client speaks.
    translation: Translation,
    /// How long the answer's first word took, once it is there.
    pub(crate) first_word: Rc<Cell<Option<Duration>>>,
    /// Counts it among those that are under way.
    pub(crate) under_way: Option<Rc<UnderWay>>,
    /// The instance that was chosen.
    pub(crate) instance: Option<Arc<str>>,
    /// What the client says, as log lines have it, where they do.
    said: Option<Arc<str>>,
    /// What the model has answered, where log lines have it.
    heard: Option<Rc<RefCell<String>>>,
    /// All numbers that the provider says of its usage, where anybody counts by them.
    pub(crate) counted: Option<Rc<RefCell<BTreeMap<String, f64>>>>,
    /// What its answer cost, as far as it has come.
    pub(crate) usage: Rc<Cell<Usage>>,
}

/// What is known of this request.
pub(crate) fn asked(exchange: &mut Exchange) -> &mut Asked {
    exchange.slot::<_, Asked>(&SHARED)
}

/// The request's body as an object.
///
/// # Errors
/// The answer to a body that is none.
pub(crate) async fn object(exchange: &mut Exchange, limit: u64) -> Result<Map<String, Value>, Reply> {
    let body = exchange.request.body.read_whole(limit).await.map_err(|error| match error {
        BodyError::TooLarge { .. } => Reply::message(413, "the request's body is too large"),
        other => Reply::new(other.status()),
    })?;
    if body.is_empty() {
        return Err(Reply::message(400, "could not get body: request body is empty"));
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Reply::message(400, "could not parse JSON request body: it is no object")),
        Err(error) => Err(Reply::message(400, &format!("could not parse JSON request body: {error}"))),
    }
}

/// Puts another body into the request.
pub(crate) fn put(exchange: &mut Exchange, body: Map<String, Value>) {
    exchange.request.body = Body::Full(Value::Object(body).to_string().into());
    for gone in ["content-encoding", "content-digest", "digest", "content-md5"] {
        exchange.request.head.remove(gone);
    }
}
