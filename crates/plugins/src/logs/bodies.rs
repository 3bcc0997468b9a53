//! The bodies that lines hold: looked at as they pass, cut at a bound, and counted against a budget of the whole process.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use serde_json::Value;
use usher_http1::head::Head;
use usher_model::expr::Expr;
use usher_pipeline::body::{Body, BodyError, BodyOut, BodyStep};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::BuildError;

use super::settings::Content;
use crate::decode::Coding;

/// Bytes of bodies that all loggers of a process hold together.
const BUDGET: usize = 128 << 20;

/// Which bodies are logged.
pub(super) struct Bodies {
    request: Option<Wanted>,
    answer: Option<Wanted>,
    held: Arc<Held>,
}

struct Wanted {
    only: Option<Expr>,
    most: usize,
}

/// How many bytes are held.
#[derive(Default)]
struct Held(AtomicUsize);

/// What was seen of one exchange's bodies.
#[derive(Default)]
struct Seen {
    request: Option<Rc<RefCell<Part>>>,
    answer: Option<Rc<RefCell<Part>>>,
    /// How the answer's body was coded when it was looked at.
    coding: Coding,
}

/// What is logged of them.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) request: Option<Vec<u8>>,
    pub(super) answer: Option<Vec<u8>>,
}

/// The beginning of a body.
struct Part {
    bytes: Vec<u8>,
    most: usize,
    /// Whether more came than is kept.
    is_cut: bool,
    held: Arc<Held>,
}

impl Part {
    fn take(&mut self, bytes: &[u8]) {
        let room = self.most.saturating_sub(self.bytes.len()).min(bytes.len());
        self.is_cut |= room < bytes.len();
        let before = self.held.0.fetch_add(room, Ordering::Relaxed);
        if before.saturating_add(room) > BUDGET {
            self.held.0.fetch_sub(room, Ordering::Relaxed);
            // Whatever comes behind a gap would be read as if there were none.
            self.most = 0;
            self.is_cut = true;
            return;
        }
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl Bodies {
    /// # Errors
    /// An expression that can't be used.
    pub(super) fn new(content: &Content, env: &Env<'_>) -> Result<Self, BuildError> {
        let wanted = |on: bool, field: &str, only: &Option<Vec<Value>>, most: u64| {
            let parse = |only: &Vec<Value>| crate::vars::parse_field(field, &Value::Array(only.clone()));
            let only = only.as_ref().map(parse).transpose()?;
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            Ok::<_, BuildError>(on.then_some(Wanted { only, most }))
        };
        Ok(Self {
            request: wanted(
                content.include_req_body,
                "include_req_body_expr",
                &content.include_req_body_expr,
                content.max_req_body_bytes,
            )?,
            answer: wanted(
                content.include_resp_body,
                "include_resp_body_expr",
                &content.include_resp_body_expr,
                content.max_resp_body_bytes,
            )?,
            held: env.process().permanent("logged-bodies", Held::default),
        })
    }

    fn part(&self, most: usize) -> Rc<RefCell<Part>> {
        Rc::new(RefCell::new(Part { bytes: Vec::new(), most, is_cut: false, held: Arc::clone(&self.held) }))
    }

    /// Whether it is logged at all is asked at the end, because the expression may be about the answer.
    pub(super) fn of_request(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        let wanted = self.request.as_ref()?;
        let part = self.part(wanted.most);
        let step: Option<Box<dyn BodyStep>> = match &exchange.request.body {
            Body::Empty => return None,
            Body::Full(bytes) => {
                part.borrow_mut().take(bytes);
                None
            }
            Body::Stream(_) => Some(Box::new(Look(Rc::clone(&part)))),
        };
        exchange.slot::<_, Seen>(self).request = Some(part);
        step
    }

    pub(super) fn of_answer(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        let wanted = self.answer.as_ref()?;
        if wanted.only.as_ref().is_some_and(|only| !only.eval(exchange)) {
            return None;
        }
        let part = self.part(wanted.most);
        let coding = Coding::of(&exchange.answer).unwrap_or_default();
        let seen = exchange.slot::<_, Seen>(self);
        (seen.answer, seen.coding) = (Some(Rc::clone(&part)), coding);
        Some(Box::new(Look(part)))
    }

    /// What is logged of an exchange's bodies.
    pub(super) fn take(&self, exchange: &mut Exchange) -> Taken {
        let Some(seen) = exchange.existing_slot::<_, Seen>(self).map(std::mem::take) else {
            return Taken::default();
        };
        let only = self.request.as_ref().and_then(|wanted| wanted.only.as_ref());
        let logs_request = only.is_none_or(|only| only.eval(exchange));
        let request = seen.request.filter(|_| logs_request).map(|part| {
            let part = part.borrow();
            exchange.masked_body(part.bytes.clone(), !part.is_cut)
        });
        let answer = seen.answer.map(|part| {
            let part = part.borrow();
            let most = self.answer.as_ref().map_or(0, |wanted| wanted.most);
            Some(seen.coding.decode_beginning(&part.bytes, most))
                .filter(|decoded| !decoded.is_empty())
                .unwrap_or_else(|| part.bytes.clone())
        });
        Taken { request, answer }
    }
}

/// Looks at a body that passes.
struct Look(Rc<RefCell<Part>>);

impl BodyStep for Look {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        self.0.borrow_mut().take(&bytes);
        out.push(bytes);
        Ok(())
    }

    fn end(&mut self, _: &mut Head, _: &mut BodyOut) -> Result<(), BodyError> {
        Ok(())
    }

    fn keeps_length(&self) -> bool {
        true
    }
}
