//! A worker whose clock stands still until a test moves it, and whose calls a test answers; or one on a runtime, with tasks, timers and sockets.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{Either, LocalBoxFuture, ready, select};
use tokio::net::{TcpStream, UdpSocket};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::oneshot;

use crate::shelf::Shelf;
use crate::worker::{Answer, Call, FetchError, InnerCall, Peer, Stream, Worker};

type Answers = Box<dyn Fn(&Call) -> Result<Answer, FetchError>>;

/// Which runtime a bench's worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Time passes as it does, for tests with real sockets.
    Real,
    /// Time stands still until a test moves it, or until the request itself waits for it.
    Paused,
}

/// The test bench's worker.
pub struct BenchWorker {
    start: Instant,
    passed: Cell<Duration>,
    timers: Rc<RefCell<Vec<Timer>>>,
    answers: RefCell<Answers>,
    calls: Rc<RefCell<Vec<Call>>>,
    shelf: Shelf,
    pub(super) runtime: Option<(LocalRuntime, Clock)>,
}

/// Somebody who waits on the paused clock: rings when it is due.
struct Timer {
    due: Duration,
    bell: oneshot::Sender<()>,
}

/// Turns that tasks get before the paused clock is looked at again.
const TURNS: usize = 64;

impl Default for BenchWorker {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            passed: Cell::new(Duration::ZERO),
            timers: Rc::default(),
            answers: RefCell::new(Box::new(|call| {
                Err(FetchError::Unreachable {
                    peer: call.url.clone(),
                    reason: "nobody answers on the bench".into(),
                })
            })),
            calls: Rc::default(),
            shelf: Shelf::default(),
            runtime: None,
        }
    }
}

impl BenchWorker {
    #[expect(clippy::expect_used, reason = "a test bench fails by panicking")]
    pub(super) fn on_runtime(clock: Clock) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .expect("a runtime");
        Self { runtime: Some((runtime, clock)), ..Self::default() }
    }

    pub(super) fn answer_fetches(&self, answer: impl Fn(&Call) -> Result<Answer, FetchError> + 'static) {
        *self.answers.borrow_mut() = Box::new(answer);
    }

    pub(super) fn pass(&self, time: Duration) {
        match &self.runtime {
            Some((runtime, Clock::Real)) => runtime.block_on(async { tokio::time::sleep(time).await }),
            Some((runtime, Clock::Paused)) => {
                let end = self.passed.get() + time;
                runtime.block_on(async {
                    turn().await;
                    while self.ring_next(end) {
                        turn().await;
                    }
                });
                self.passed.set(end);
            }
            None => self.passed.set(self.passed.get() + time),
        }
    }

    /// Moves the paused clock to the first timer that is due until `end`, and rings it.
    fn ring_next(&self, end: Duration) -> bool {
        let mut timers = self.timers.borrow_mut();
        // A receiver that was dropped waits no more.
        timers.retain(|timer| !timer.bell.is_closed());
        let next = timers.iter().enumerate().min_by_key(|(_, timer)| timer.due);
        let Some((at, _)) = next.filter(|(_, timer)| timer.due <= end) else { return false };
        let timer = timers.swap_remove(at);
        self.passed.set(self.passed.get().max(timer.due));
        // A receiver that is gone in this very moment waits no more either.
        let _ = timer.bell.send(());
        true
    }

    /// Waits for what comes at once on the bench's own worker, or by the runtime.
    #[expect(clippy::expect_used, reason = "a test bench fails by panicking")]
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        match &self.runtime {
            Some((runtime, Clock::Real)) => runtime.block_on(future),
            Some((runtime, Clock::Paused)) => runtime.block_on(async {
                let mut future = pin!(future);
                loop {
                    if let Either::Left((outcome, _)) = select(&mut future, pin!(turn())).await {
                        return outcome;
                    }
                    self.ring_next(Duration::MAX);
                }
            }),
            None => future.now_or_never().expect("hooks that wait only for what the bench answers at once"),
        }
    }

    /// The calls that were made.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }
}

/// Lets everything run that can.
async fn turn() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

impl Worker for BenchWorker {
    fn index(&self) -> usize {
        0
    }

    fn now(&self) -> Instant {
        match &self.runtime {
            Some((_, Clock::Real)) => Instant::now(),
            _ => self.start + self.passed.get(),
        }
    }

    fn unix_ms(&self) -> u64 {
        let passed = self.now().saturating_duration_since(self.start);
        1_800_000_000_000 + u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }

    fn fetch(&self, call: Call) -> LocalBoxFuture<'static, Result<Answer, FetchError>> {
        let answer = (self.answers.borrow())(&call);
        self.calls.borrow_mut().push(call);
        ready(answer).boxed_local()
    }

    fn fetch_inside(&self, call: InnerCall) -> LocalBoxFuture<'static, Result<Answer, FetchError>> {
        self.fetch(Call {
            method: call.head.method().to_owned(),
            url: format!("inside:{}", call.head.target()),
            fields: call.head,
            body: call.body,
            timeout: call.timeout,
            verify: false,
            max_answer_bytes: call.max_answer_bytes,
        })
    }

    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()> {
        match &self.runtime {
            Some((_, Clock::Real)) => async move { tokio::time::sleep(time).await }.boxed_local(),
            Some((_, Clock::Paused)) => {
                let (bell, rung) = oneshot::channel();
                self.timers.borrow_mut().push(Timer { due: self.passed.get() + time, bell });
                rung.map(drop).boxed_local()
            }
            None => {
                self.pass(time);
                ready(()).boxed_local()
            }
        }
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) -> bool {
        match &self.runtime {
            Some((runtime, _)) => {
                drop(runtime.spawn_local(task));
                true
            }
            None => task.now_or_never().is_some(),
        }
    }

    fn attend(&self, task: LocalBoxFuture<'static, ()>) -> bool {
        self.runtime.is_some() && self.spawn(task)
    }

    fn connect(&self, peer: Peer) -> LocalBoxFuture<'static, Result<Box<dyn Stream>, FetchError>> {
        let unreachable =
            |peer: &Peer, reason: String| FetchError::Unreachable { peer: peer.to_string(), reason };
        if self.runtime.is_none() || peer.tls.is_some() {
            return ready(Err(unreachable(&peer, "the bench has no such connections".into()))).boxed_local();
        }
        async move {
            let opened =
                tokio::time::timeout(peer.timeout, TcpStream::connect((peer.host.as_str(), peer.port)));
            match opened.await {
                Ok(Ok(stream)) => Ok(Box::new(stream) as Box<dyn Stream>),
                Ok(Err(error)) => Err(unreachable(&peer, error.to_string())),
                Err(_) => Err(FetchError::TimedOut(peer.to_string())),
            }
        }
        .boxed_local()
    }

    fn send_datagram(&self, peer: Peer, bytes: Bytes) -> LocalBoxFuture<'static, Result<(), FetchError>> {
        if self.runtime.is_none() {
            let reason = "the bench has no sockets".to_owned();
            return ready(Err(FetchError::Unreachable { peer: peer.to_string(), reason })).boxed_local();
        }
        async move {
            let sent = async {
                let socket = UdpSocket::bind("127.0.0.1:0").await?;
                socket.send_to(&bytes, (peer.host.as_str(), peer.port)).await
            };
            sent.await.map(drop).map_err(|error| FetchError::Unreachable {
                peer: peer.to_string(),
                reason: error.to_string(),
            })
        }
        .boxed_local()
    }

    fn shelf(&self) -> &Shelf {
        &self.shelf
    }
}
