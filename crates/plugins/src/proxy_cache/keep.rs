//! The way out: which answers are kept, and as what.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use usher_http1::head::Head;
use usher_pipeline::body::BodyStep;
use usher_pipeline::exchange::{AnsweredBy, Exchange};
use usher_pipeline::plugin::Flow;

use super::entry::{Kept, Stored, value_of};
use super::fill::{Fill, Place};
use super::key::any_is_set;
use super::rules::Terms;
use super::{Plan, Progress, ProxyCache, STATUS, VARIABLE, hide_cache_headers};

impl ProxyCache {
    /// The answer's head: settles whether it is kept, and tells the client what the cache did.
    pub(super) fn judge(&self, exchange: &mut Exchange) -> Flow {
        let Some(progress) = exchange.existing_slot::<_, Progress>(self) else { return Flow::Continue };
        let (told, plan) = (progress.told, progress.plan.take());
        let now = exchange.worker().now();
        if let Some(plan) = plan
            && let Some(fill) = self.fill(exchange, plan, now)
        {
            exchange.slot::<_, Progress>(self).fill = Some(fill);
        }
        if self.hide {
            hide_cache_headers(&mut exchange.answer);
        }
        if let Some(word) = told {
            exchange.set_variable(VARIABLE, word);
        }
        if let Some(word) = told
            && let Err(error) = exchange.answer.set(STATUS, word)
        {
            tracing::error!(%error, "the state of the cache can't be told");
        }
        Flow::Continue
    }

    fn fill(&self, exchange: &Exchange, plan: Plan, now: Instant) -> Option<Fill> {
        let answer = &exchange.answer;
        let announced = answer.get_str("content-length").and_then(|text| text.parse::<u64>().ok());
        let limit = self.max_body_bytes.min(self.zone.largest());
        let terms = self.terms(exchange, &plan).filter(|_| announced.is_none_or(|length| length <= limit));
        let kept = terms.and_then(|terms| without_body(exchange, &plan, terms, now));
        let place =
            Place { zone: Arc::clone(&self.zone), key: plan.key, purges: plan.purges, flight: plan.flight };
        let Some(kept) = kept else {
            // A refusal of the gateway's own is this client's, and says nothing of the answer that others wait for.
            if exchange.answered_by == AnsweredBy::Upstream {
                place.note_unkept(now);
            }
            return None;
        };
        let mut fill = Fill::begin(place, kept, limit, announced);
        if announced == Some(0) || answer.status() == 204 {
            // There will be no body, and so no end of one.
            fill.finish();
            return None;
        }
        Some(fill)
    }

    fn terms(&self, exchange: &Exchange, plan: &Plan) -> Option<Terms> {
        if exchange.answered_by != AnsweredBy::Upstream || any_is_set(&self.no_cache, exchange) {
            return None;
        }
        let unix_secs = exchange.worker().unix_ms() / 1000;
        self.rules.terms(&exchange.answer, plan.credentials, unix_secs)
    }

    /// The answer's body: a copy is taken along where the answer is kept.
    pub(super) fn keep(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        let fill = exchange.existing_slot::<_, Progress>(self)?.fill.take()?;
        Some(Box::new(fill))
    }

    /// Whatever came of the request: nobody waits for it any longer.
    pub(super) fn forget(&self, exchange: &mut Exchange) {
        if let Some(progress) = exchange.existing_slot::<_, Progress>(self) {
            *progress = Progress::default();
        }
    }
}

/// The answer as it is kept, still without its body; `None` where it depends on something that later requests can't be compared by.
fn without_body(exchange: &Exchange, plan: &Plan, terms: Terms, now: Instant) -> Option<Stored> {
    let mut vary = Vec::with_capacity(terms.vary.len());
    for name in terms.vary {
        let value = value_of(&plan.seen, &name);
        if value != value_of(&exchange.request.head, &name) {
            return None;
        }
        vary.push((name, value));
    }
    let mut head = Head::response(exchange.answer.status());
    for (name, value) in exchange.answer.iter().filter(|(name, _)| is_kept(name)) {
        head.append(name, value).ok()?;
    }
    head.drop_hop_by_hop();
    Some(Stored {
        head,
        body: Kept::Memory(Bytes::new()),
        kind: plan.kind.clone(),
        vary,
        for_everybody: terms.for_everybody,
        stored: now,
        ttl: terms.ttl,
        age: terms.age,
    })
}

/// The age is told anew each time, a quota is one client's own, and what became of the first request is not what becomes of later ones.
fn is_kept(name: &str) -> bool {
    let told_anew = ["age", STATUS, "x-apisix-upstream-status"];
    !told_anew.iter().any(|field| name.eq_ignore_ascii_case(field))
        && !name.to_ascii_lowercase().contains("ratelimit-remaining")
}
