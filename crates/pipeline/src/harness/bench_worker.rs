//! A worker whose clock stands still until a test moves it, and whose calls a test answers.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, ready};

use crate::worker::{Answer, Call, FetchError, Worker};

type Answers = Box<dyn Fn(&Call) -> Result<Answer, FetchError>>;

/// The test bench's worker.
pub struct BenchWorker {
    start: Instant,
    passed: Cell<Duration>,
    answers: RefCell<Answers>,
    calls: RefCell<Vec<Call>>,
}

impl Default for BenchWorker {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            passed: Cell::new(Duration::ZERO),
            answers: RefCell::new(Box::new(|call| {
                Err(FetchError::Unreachable {
                    peer: call.url.clone(),
                    reason: "nobody answers on the bench".into(),
                })
            })),
            calls: RefCell::default(),
        }
    }
}

impl BenchWorker {
    pub(super) fn answer_fetches(&self, answer: impl Fn(&Call) -> Result<Answer, FetchError> + 'static) {
        *self.answers.borrow_mut() = Box::new(answer);
    }

    pub(super) fn pass(&self, time: Duration) {
        self.passed.set(self.passed.get() + time);
    }

    /// The calls that were made.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }
}

impl Worker for BenchWorker {
    fn index(&self) -> usize {
        0
    }

    fn now(&self) -> Instant {
        self.start + self.passed.get()
    }

    fn unix_ms(&self) -> u64 {
        1_800_000_000_000 + u64::try_from(self.passed.get().as_millis()).unwrap_or(u64::MAX)
    }

    fn fetch(&self, call: Call) -> LocalBoxFuture<'static, Result<Answer, FetchError>> {
        let answer = (self.answers.borrow())(&call);
        self.calls.borrow_mut().push(call);
        ready(answer).boxed_local()
    }

    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()> {
        self.pass(time);
        ready(()).boxed_local()
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) -> bool {
        task.now_or_never().is_some()
    }
}
