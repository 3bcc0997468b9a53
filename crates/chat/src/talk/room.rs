//! What was said and done in one conversation, in order: whoever listens reads along, and whoever comes back reads from the beginning.
//!
//! A page that is loaded anew has only lost its ears. So a sentence goes on for a while when nobody listens, and a question stays open for as long as a
//! person may think; who wants a sentence to end says so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use usher_admin::talk::TalkEvent;

/// Events that a room remembers, and their bytes; the oldest go.
const MOST: usize = 1_000;
const MOST_BYTES: usize = 1 << 20;
/// How long a sentence goes on that nobody listens to: a page takes a few seconds to be loaded anew.
const GRACE: Duration = Duration::from_secs(20);
/// How often it is looked whether anybody still listens.
const LOOK: Duration = Duration::from_millis(200);

/// One conversation's room.
pub(super) struct Room {
    inside: Mutex<Inside>,
    /// The number of the next event, for whoever waits for it.
    next: watch::Sender<u64>,
}

#[derive(Default)]
struct Inside {
    events: VecDeque<TalkEvent>,
    /// The number of the first one that is remembered.
    first: u64,
    bytes: usize,
    /// Whether a sentence is worked on.
    busy: bool,
    /// Whether it shall end.
    stopped: bool,
    listeners: usize,
    /// When the last listener went, or somebody was known to be there.
    left: Option<Instant>,
}

impl Inside {
    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn add(&mut self, event: TalkEvent) {
        self.bytes += event.bytes();
        self.events.push_back(event);
        while self.events.len() > MOST || (self.bytes > MOST_BYTES && self.events.len() > 1) {
            let gone = self.events.pop_front();
            self.bytes -= gone.as_ref().map_or(0, TalkEvent::bytes);
            self.first += 1;
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self { inside: Mutex::default(), next: watch::channel(0).0 }
    }
}

impl Room {
    /// Begins a sentence; `false` where the last one is still worked on.
    pub(super) fn begin(&self, sentence: &str) -> bool {
        let mut inside = self.lock();
        if inside.busy {
            return false;
        }
        (inside.busy, inside.stopped, inside.left) = (true, false, Some(Instant::now()));
        inside.add(TalkEvent::Asked { text: sentence.to_owned() });
        let next = inside.next();
        drop(inside);
        self.next.send_replace(next);
        true
    }

    /// Notes what happens.
    pub(super) fn note(&self, event: TalkEvent) {
        let next = {
            let mut inside = self.lock();
            inside.add(event);
            inside.next()
        };
        self.next.send_replace(next);
    }

    /// Ends a sentence. Whoever listens hears this last.
    pub(super) fn end(&self, ended: TalkEvent) {
        let next = {
            // At once: whoever looks in between would hear of no end.
            let mut inside = self.lock();
            inside.busy = false;
            inside.add(ended);
            inside.next()
        };
        self.next.send_replace(next);
    }

    /// Whether a sentence is worked on.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().busy
    }

    /// Tells the sentence that is worked on to end; `false`: there is none.
    pub(super) fn stop(&self) -> bool {
        let mut inside = self.lock();
        inside.stopped |= inside.busy;
        inside.busy
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Somebody is there, whether or not they listen.
    pub(super) fn is_attended(&self) {
        self.lock().left = Some(Instant::now());
    }

    /// Ends once the sentence shall end: it was stopped, or nobody has listened for a while.
    pub(super) async fn given_up(self: Arc<Self>) {
        loop {
            {
                let inside = self.lock();
                let alone = inside.listeners == 0 && inside.left.is_none_or(|left| left.elapsed() > GRACE);
                if inside.stopped || alone {
                    return;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What happens from here on, up to the end of the sentence that is worked on.
    pub(super) fn listen(self: &Arc<Self>) -> BoxStream<'static, TalkEvent> {
        let from = self.lock().next();
        self.from(from)
    }

    /// The same with all that is remembered before it.
    pub(super) fn from_the_beginning(self: &Arc<Self>) -> BoxStream<'static, TalkEvent> {
        let from = self.lock().first;
        self.from(from)
    }

    fn from(self: &Arc<Self>, from: u64) -> BoxStream<'static, TalkEvent> {
        self.lock().listeners += 1;
        let ear = Ear { room: Arc::clone(self), heard: from, next: self.next.subscribe() };
        stream::unfold(ear, |mut ear| async move { Some((ear.hear().await?, ear)) }.boxed()).boxed()
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who listens.
struct Ear {
    room: Arc<Room>,
    /// The number of the next event that they haven't heard.
    heard: u64,
    next: watch::Receiver<u64>,
}

impl Ear {
    async fn hear(&mut self) -> Option<TalkEvent> {
        loop {
            self.next.mark_unchanged();
            {
                let inside = self.room.lock();
                // Who is far behind has missed what is no longer remembered.
                let at = self.heard.max(inside.first);
                let place = usize::try_from(at - inside.first).unwrap_or(usize::MAX);
                if let Some(event) = inside.events.get(place) {
                    self.heard = at + 1;
                    return Some(event.clone());
                }
                if !inside.busy {
                    return None;
                }
            }
            self.next.changed().await.ok()?;
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut inside = self.room.lock();
        inside.listeners = inside.listeners.saturating_sub(1);
        inside.left = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt as _;
    use usher_admin::talk::TalkEvent;

    use super::{MOST, Room};

    fn said(text: impl Into<String>) -> TalkEvent {
        TalkEvent::Said { text: text.into() }
    }

    const ENDED: TalkEvent = TalkEvent::Ended { done: true, error: None };

    #[tokio::test]
    async fn who_comes_back_hears_all_of_it_and_goes_on_listening() {
        let room = Arc::<Room>::default();
        assert!(room.begin("one") && !room.begin("two"), "one sentence at a time");
        let first = room.listen();
        room.note(said("a"));
        let mut again = room.from_the_beginning();
        assert_eq!(again.next().await, Some(TalkEvent::Asked { text: "one".into() }));
        assert_eq!(again.next().await, Some(said("a")));
        room.note(said("b"));
        room.end(ENDED);
        assert_eq!(again.collect::<Vec<_>>().await, [said("b"), ENDED]);
        assert_eq!(first.collect::<Vec<_>>().await, [said("a"), said("b"), ENDED]);
        assert_eq!(room.listen().collect::<Vec<_>>().await, [], "nothing is worked on");
        assert!(!room.stop() && room.begin("two") && room.stop() && room.is_stopped());
        Arc::clone(&room).given_up().await;
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let room = Arc::<Room>::default();
        for at in 0..MOST + 5 {
            room.note(said(at.to_string()));
        }
        let heard: Vec<_> = room.from_the_beginning().collect().await;
        assert_eq!((heard.len(), &heard[0]), (MOST, &said("5")));
        for _ in 0..5 {
            room.note(said("x".repeat(300_000)));
        }
        assert_eq!(room.from_the_beginning().collect::<Vec<_>>().await.len(), 3);
    }
}
