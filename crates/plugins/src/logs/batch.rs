//! Lines that wait to be sent, and the task that sends them.
//!
//! Each worker has a queue of its own, so that requests don't wait for each other. A task runs while there is something to send, one for each
//! queue, and ends with it. How many lines and bytes may wait is counted over all queues; what doesn't fit is dropped, and the log says how many
//! were, at most once in ten seconds. A worker that stops sends what it has.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, select, select_all};
use tokio::sync::Notify;
use usher_pipeline::env::Env;
use usher_pipeline::worker::{Call, Worker};

use super::settings::BatchSettings;
use super::waiting::{Batches, Waiting};

/// The outcome of sending a batch.
pub(crate) type Sending<'a> = LocalBoxFuture<'a, Result<(), String>>;

/// Where batches go.
pub(crate) trait Sink: Send + Sync + 'static {
    /// What the log calls it.
    const NAME: &'static str;
    /// What metrics call its batches where the user gives them no name.
    const BATCH: &'static str = Self::NAME;

    /// Sends a batch. What it waits for has to be bounded.
    fn send<'a>(&'a self, worker: &'a Rc<dyn Worker>, lines: &'a [Line]) -> Sending<'a>;
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// JSON without a line break.
    pub(crate) text: String,
    /// Its time, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// What a sink wants to know of it besides.
    pub(crate) more: Option<String>,
}

/// Sends lines that were put together. Whoever answers below 300 has them; what an answer says beside its status may quote them, and isn't told.
///
/// # Errors
/// Why they have to be sent again.
pub(crate) async fn hand_over(worker: &Rc<dyn Worker>, call: Call, to: &str) -> Result<(), String> {
    match worker.fetch(call).await {
        Ok(answer) if answer.head.status() >= 300 => Err(format!("{to} answered {}", answer.head.status())),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Several lines as one text, with something in front of, between and behind them.
pub(crate) fn together(lines: &[Line], start: &str, between: &str, end: &str) -> String {
    let length: usize = lines.iter().map(|line| line.text.len() + between.len()).sum();
    let mut text = String::with_capacity(length + start.len() + end.len());
    text.push_str(start);
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            text.push_str(between);
        }
        text.push_str(&line.text);
    }
    text.push_str(end);
    text
}

/// Queues, one for each worker; further workers share.
const QUEUES: usize = 16;
/// Bytes that may wait for one use of a logger.
const MOST_BYTES: usize = 16 << 20;
/// Between two complaints about lines that were lost.
const COMPLAINS_EVERY: Duration = Duration::from_secs(10);

/// The lines of one use of a logger.
pub(crate) struct Batch<S> {
    sink: S,
    settings: BatchSettings,
    most: usize,
    queues: Box<[Queue]>,
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    lost: AtomicU64,
    complained: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// Rings when there is enough for a batch.
    full: Notify,
}

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    first: Option<Instant>,
    last: Option<Instant>,
    has_task: bool,
}

impl<S: Sink> Batch<S> {
    /// The same batch after an edit of something else. `most` is how many lines may wait.
    pub(crate) fn kept(env: &Env<'_>, key: &str, sink: S, settings: BatchSettings, most: u64) -> Arc<Self> {
        let name = settings.name.clone().unwrap_or_else(|| S::BATCH.to_owned());
        let batch = env.keep(key, || Self::new(sink, settings, most));
        Batches::of(env.process()).add(&name, env.resource(), &batch);
        batch
    }

    fn new(sink: S, settings: BatchSettings, most: u64) -> Self {
        Self {
            sink,
            settings,
            most: usize::try_from(most).unwrap_or(usize::MAX),
            queues: (0..QUEUES).map(|_| Queue::default()).collect(),
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            complained: Mutex::default(),
        }
    }

    fn size(&self) -> usize {
        usize::try_from(self.settings.batch_max_size).unwrap_or(usize::MAX)
    }

    /// Adds a line, or drops it where too many wait.
    pub(crate) fn add(this: &Arc<Self>, worker: &Rc<dyn Worker>, line: Line) {
        let now = worker.now();
        let bytes = line.text.len();
        let at = worker.index() % QUEUES;
        let Some(queue) = this.queues.get(at) else { return };
        let waits = this.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting_bytes = this.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waits >= this.most || waiting_bytes.saturating_add(bytes) > MOST_BYTES {
            this.leave(1, bytes);
            this.lose(1, now, "too many lines wait");
            return;
        }
        let (starts, is_full) = {
            let mut state = queue.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.lines.push(line);
            state.first.get_or_insert(now);
            state.last = Some(now);
            (!std::mem::replace(&mut state.has_task, true), state.lines.len() >= this.size())
        };
        if starts {
            let task = run(Arc::clone(this), at, Rc::clone(worker)).boxed_local();
            if !worker.spawn(task) {
                let lines = {
                    let mut state = queue.state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.has_task = false;
                    std::mem::take(&mut state.lines)
                };
                this.leave(lines.len(), lines.iter().map(|line| line.text.len()).sum());
                this.lose(lines.len(), now, "the worker has too many tasks");
            }
        } else if is_full {
            queue.full.notify_one();
        }
    }

    fn leave(&self, lines: usize, bytes: usize) {
        self.waiting.fetch_sub(lines, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn lose(&self, lines: usize, now: Instant, why: &str) {
        self.lost.fetch_add(lines as u64, Ordering::Relaxed);
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|then| now.saturating_duration_since(then) >= COMPLAINS_EVERY) {
            *complained = Some(now);
            let lines = self.lost.swap(0, Ordering::Relaxed);
            tracing::error!(
                plugin = S::NAME,
                name = self.settings.name,
                lines,
                why,
                "lines of a logger were lost"
            );
        }
    }

    /// The lines to send next, or how long to wait for them. Nothing at all ends the task.
    fn next(&self, queue: &Queue, now: Instant, stopping: bool) -> Next {
        let mut state = queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = (state.first, state.last) else {
            state.has_task = false;
            return Next::End;
        };
        let idle = last + Duration::from_secs(self.settings.inactive_timeout);
        let old = first + Duration::from_secs(self.settings.buffer_duration);
        let due = idle.min(old);
        let size = self.size();
        if state.lines.len() < size && now < due && !stopping {
            return Next::Wait(due - now);
        }
        let taken = state.lines.len().min(size);
        let rest = state.lines.split_off(taken);
        let lines = std::mem::replace(&mut state.lines, rest);
        if state.lines.is_empty() {
            (state.first, state.last) = (None, None);
        }
        Next::Send(lines)
    }

    async fn send(&self, worker: &Rc<dyn Worker>, lines: Vec<Line>) {
        let mut tries = 0;
        loop {
            let Err(error) = self.sink.send(worker, &lines).await else { break };
            if tries >= self.settings.max_retry_count {
                self.lose(lines.len(), worker.now(), &error);
                break;
            }
            tries += 1;
            let pause = worker.sleep(Duration::from_secs(self.settings.retry_delay));
            select(pause, worker.stopping()).await;
        }
        self.leave(lines.len(), lines.iter().map(|line| line.text.len()).sum());
    }
}

impl<S: Sink> Waiting for Batch<S> {
    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

enum Next {
    Send(Vec<Line>),
    Wait(Duration),
    End,
}

/// A task that is dropped before its end, as its worker is, takes its mark off the queue.
struct Task<S: Sink> {
    batch: Arc<Batch<S>>,
    at: usize,
    ended: bool,
}

impl<S: Sink> Drop for Task<S> {
    fn drop(&mut self) {
        if let Some(queue) = self.batch.queues.get(self.at).filter(|_| !self.ended) {
            queue.state.lock().unwrap_or_else(PoisonError::into_inner).has_task = false;
        }
    }
}

async fn run<S: Sink>(batch: Arc<Batch<S>>, at: usize, worker: Rc<dyn Worker>) {
    let mut task = Task { batch: Arc::clone(&batch), at, ended: false };
    let Some(queue) = batch.queues.get(at) else { return };
    let mut stopping = false;
    loop {
        match batch.next(queue, worker.now(), stopping) {
            Next::End => {
                // The mark was taken off in the same look that found nothing.
                task.ended = true;
                return;
            }
            Next::Send(lines) => batch.send(&worker, lines).await,
            Next::Wait(time) => {
                let full = queue.full.notified().map(|()| false).boxed_local();
                let due = worker.sleep(time).map(|()| false).boxed_local();
                let stops = worker.stopping().map(|()| true).boxed_local();
                (stopping, ..) = select_all([full, due, stops]).await;
            }
        }
    }
}
