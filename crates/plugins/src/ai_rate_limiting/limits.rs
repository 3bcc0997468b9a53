//! The limits of one use of the plugin: which are meant by a request, what is left of them, and what is charged to them.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use usher_pipeline::exchange::Exchange;

use super::remote::Remote;
use crate::ai::Gate;
use crate::keyed::{Keyed, State};
use crate::limit_key::{ByNetwork, Number};
use crate::text::Text;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// All limits, and where their tokens are counted.
pub(super) struct Limits {
    pub(super) limits: Vec<Limit>,
    pub(super) place: Place,
    /// Whether requests pass that can't be counted.
    pub(super) allow_degradation: bool,
}

/// One limit, and whom it is for.
pub(super) struct Limit {
    pub(super) whose: Whose,
    pub(super) count: Number,
    pub(super) window: Number,
    /// What the names of its headers have in them; the instance's name where there is none.
    pub(super) prefix: Option<String>,
}

pub(super) enum Whose {
    /// Requests to this instance.
    Instance(String),
    /// Requests to every instance that has no limit of its own, all together.
    Others,
    /// Requests by what this text says.
    Key(Text),
}

/// Where tokens are counted.
pub(super) enum Place {
    /// In this process.
    Local(Arc<Keyed<Window>>, Arc<u64>),
    /// In Redis.
    Remote(Remote),
}

/// The tokens of one key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    start: u64,
    length: u64,
    used: u64,
}

impl State for Window {
    fn is_over(&self, now: u64) -> bool {
        now >= self.start.saturating_add(self.length)
    }
}

impl Window {
    /// This window, or the next where it is over.
    fn at(&mut self, now: u64, length: u64) -> &mut Self {
        if self.is_over(now) {
            *self = Self { start: now, length, used: 0 };
        }
        self
    }
}

/// Which counter it is.
enum Counter {
    Local(u64),
    Remote(Vec<u8>),
}

/// What a request is told of one limit, and charged to.
pub(super) struct Quota {
    counter: Counter,
    /// Whether it bounds what an instance costs, so that another instance may have tokens left.
    of_instance: bool,
    /// In nanoseconds.
    length: u64,
    pub(super) limit: u64,
    pub(super) remaining: u64,
    pub(super) reset_secs: f64,
    pub(super) names: [String; 3],
}

/// What is known of one request, by the instances that it was or might have been sent to.
#[derive(Default)]
pub(super) struct Progress {
    known: Vec<(Arc<str>, Vec<Quota>)>,
    pub(super) refused: bool,
}

impl Progress {
    /// What a request to this instance is bounded by, where that was looked at.
    pub(super) fn of(&self, instance: &str) -> Option<&[Quota]> {
        self.known.iter().find(|(name, _)| &**name == instance).map(|(_, quotas)| quotas.as_slice())
    }

    fn take(&mut self, instance: &str) -> Option<Vec<Quota>> {
        let at = self.known.iter().position(|(name, _)| &**name == instance)?;
        Some(self.known.swap_remove(at).1)
    }

    pub(super) fn note(&mut self, instance: &Arc<str>, quotas: Vec<Quota>) {
        self.known.retain(|(name, _)| name != instance);
        self.known.push((Arc::clone(instance), quotas));
    }
}

/// A limit as it is for one request.
struct Meant<'a> {
    limit: &'a Limit,
    counter: Counter,
    count: u64,
    /// In seconds.
    window: u64,
}

impl Limits {
    pub(super) const fn are_local(&self) -> bool {
        matches!(self.place, Place::Local(..))
    }

    /// What is left for a request to this instance, of each limit that is meant.
    ///
    /// # Errors
    /// A number that the request doesn't make, or counters that can't be asked.
    pub(super) async fn look(&self, exchange: &Exchange, instance: &str) -> Result<Vec<Quota>, String> {
        let mut quotas = Vec::new();
        for meant in self.meant(exchange, instance)? {
            let left = match (&self.place, &meant.counter) {
                (Place::Remote(remote), Counter::Remote(key)) => {
                    remote.look(exchange.worker(), key, meant.window).await?
                }
                _ => self.look_here(exchange, &meant),
            };
            quotas.push(quota(meant, instance, left));
        }
        Ok(quotas)
    }

    /// The same for counters of this process, which answer at once.
    ///
    /// # Errors
    /// A number that the request doesn't make.
    pub(super) fn look_now(&self, exchange: &Exchange, instance: &str) -> Result<Vec<Quota>, String> {
        let meant = self.meant(exchange, instance)?.into_iter();
        Ok(meant
            .map(|meant| {
                let left = self.look_here(exchange, &meant);
                quota(meant, instance, left)
            })
            .collect())
    }

    /// The limits that are meant by a request to this instance; those whose key says nothing of it are not.
    fn meant(&self, exchange: &Exchange, instance: &str) -> Result<Vec<Meant<'_>>, String> {
        let has_own = |limit: &Limit| matches!(&limit.whose, Whose::Instance(name) if name == instance);
        let mut all = Vec::new();
        for (at, limit) in self.limits.iter().enumerate() {
            let key = match &limit.whose {
                Whose::Instance(_) if has_own(limit) => None,
                Whose::Others if !self.limits.iter().any(has_own) => None,
                Whose::Instance(_) | Whose::Others => continue,
                Whose::Key(text) => match text.render_resolved(&ByNetwork::of(exchange)) {
                    Some(key) => Some(key),
                    None => continue,
                },
            };
            let counter = match (&self.place, key) {
                (Place::Local(counters, space), None) => Counter::Local(counters.key(**space, at)),
                (Place::Local(counters, space), Some(key)) => {
                    Counter::Local(counters.key(**space, (at, &*key)))
                }
                (Place::Remote(remote), key) => Counter::Remote(remote.key(at, key.as_deref())),
            };
            let (count, window) = (limit.count.resolve(exchange)?, limit.window.resolve(exchange)?);
            all.push(Meant { limit, counter, count, window });
        }
        // Rules that all pass a request over would let it through uncounted.
        if all.is_empty() && self.limits.iter().all(|limit| matches!(limit.whose, Whose::Key(_))) {
            return Err("no rule has a key that says anything of this request".to_owned());
        }
        Ok(all)
    }

    /// Tokens that were used, and nanoseconds to the window's end.
    fn look_here(&self, exchange: &Exchange, meant: &Meant<'_>) -> (u64, u64) {
        let (Place::Local(counters, _), Counter::Local(key)) = (&self.place, &meant.counter) else {
            return (0, 0);
        };
        let length = meant.window.saturating_mul(SECOND);
        counters.with(
            *key,
            exchange.worker().now(),
            |_| Window::default(),
            |window, now| {
                let window = window.at(now, length);
                (window.used, window.start.saturating_add(window.length).saturating_sub(now))
            },
        )
    }

    /// Charges the request's limits for what it cost. Counters elsewhere are told behind the request.
    pub(super) fn charge(self: &Arc<Self>, exchange: &mut Exchange, instance: &str, cost: u64) {
        let now = exchange.worker().now();
        let Some(progress) = exchange.existing_slot::<_, Progress>(&**self) else { return };
        if progress.refused || cost == 0 {
            return;
        }
        let Some(quotas) = progress.take(instance) else { return };
        let mut elsewhere = Vec::new();
        for quota in quotas {
            match (&self.place, quota.counter) {
                (Place::Local(counters, _), Counter::Local(key)) => {
                    counters.with(
                        key,
                        now,
                        |_| Window::default(),
                        |window, now| {
                            let window = window.at(now, quota.length);
                            window.used = window.used.saturating_add(cost);
                        },
                    );
                }
                (_, Counter::Remote(key)) => elsewhere.push((key, quota.length / SECOND)),
                (Place::Remote(_), Counter::Local(_)) => {}
            }
        }
        if elsewhere.is_empty() {
            return;
        }
        let (limits, worker) = (Arc::clone(self), std::rc::Rc::clone(exchange.worker()));
        let task = async move {
            let Place::Remote(remote) = &limits.place else { return };
            for (key, window) in elsewhere {
                if let Err(error) = remote.charge(&worker, &key, window, cost).await {
                    tracing::error!(%error, cost, "tokens that were used could not be counted");
                }
            }
        };
        if !exchange.worker().spawn(task.boxed_local()) {
            tracing::warn!(
                cost,
                "tokens that were used are not counted: too much waits to be done behind requests"
            );
        }
    }
}

impl Gate for Limits {
    fn admits<'a>(
        self: Arc<Self>,
        exchange: &'a mut Exchange,
        instance: &'a Arc<str>,
    ) -> LocalBoxFuture<'a, bool> {
        async move {
            match self.look(exchange, instance).await {
                Ok(quotas) => {
                    let has_left = quotas.iter().all(|quota| !quota.of_instance || quota.remaining > 0);
                    exchange.slot::<_, Progress>(&*self).note(instance, quotas);
                    has_left
                }
                Err(error) => {
                    tracing::error!(%error, instance = &**instance, "failed to limit tokens");
                    self.allow_degradation
                }
            }
        }
        .boxed_local()
    }
}

fn quota(meant: Meant<'_>, instance: &str, (used, reset): (u64, u64)) -> Quota {
    let name = |what: &str| match &meant.limit.prefix {
        Some(prefix) => format!("X-AI-{prefix}-RateLimit-{what}"),
        None => format!("X-AI-RateLimit-{what}-{instance}"),
    };
    Quota {
        of_instance: !matches!(meant.limit.whose, Whose::Key(_)),
        length: meant.window.saturating_mul(SECOND),
        limit: meant.count,
        remaining: meant.count.saturating_sub(used),
        reset_secs: (reset / 10_000_000) as f64 / 100.0,
        names: [name("Limit"), name("Remaining"), name("Reset")],
        counter: meant.counter,
    }
}
