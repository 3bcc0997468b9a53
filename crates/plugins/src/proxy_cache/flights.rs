//! Of many requests for one answer that isn't there, one goes to the upstream and the others wait for it.
//!
//! A waiting request is only ever parked: whoever flies wakes it when it lands, is refused, or is dropped with its client.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// How many may wait for one; further requests go to the upstream at once.
const MAX_WAITERS: usize = 4096;

/// Everybody who is on the way.
#[derive(Default)]
pub(super) struct Flights {
    open: Mutex<HashMap<Box<[u8]>, Arc<Landing>>>,
}

/// Where those wait who want the same.
#[derive(Default)]
struct Landing {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    landed: bool,
    waiting: usize,
    wakers: Vec<Option<Waker>>,
}

/// What a request does about an answer that isn't there.
pub(super) enum Joined {
    /// It fetches it; others wait until this is dropped.
    First(Flight),
    /// It waits for the one that fetches it.
    Wait(Waiter),
    /// It fetches it too: too many wait already.
    Crowded,
}

/// The one that fetches an answer. Dropping it wakes all that wait.
pub(super) struct Flight {
    flights: Arc<Flights>,
    key: Box<[u8]>,
    landing: Arc<Landing>,
}

/// One that waits.
pub(super) struct Waiter {
    landing: Arc<Landing>,
    place: Option<usize>,
}

impl Flights {
    /// Fetch, or wait for who fetches.
    pub(super) fn join(self: &Arc<Self>, key: &[u8]) -> Joined {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(landing) = open.get(key) {
            let mut state = landing.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.waiting >= MAX_WAITERS {
                return Joined::Crowded;
            }
            state.waiting += 1;
            drop(state);
            return Joined::Wait(Waiter { landing: Arc::clone(landing), place: None });
        }
        let landing = Arc::<Landing>::default();
        open.insert(key.into(), Arc::clone(&landing));
        Joined::First(Flight { flights: Arc::clone(self), key: key.into(), landing })
    }
}

impl Flight {
    /// Whether anybody waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        self.landing.state.lock().unwrap_or_else(PoisonError::into_inner).waiting > 0
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        let mut state = self.landing.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.landed = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Future for Waiter {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let landing = Arc::clone(&self.landing);
        let mut state = landing.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.landed {
            return Poll::Ready(());
        }
        let waker = Some(context.waker().clone());
        match self.place.and_then(|place| state.wakers.get_mut(place)) {
            Some(known) => *known = waker,
            None => {
                self.place = Some(state.wakers.len());
                state.wakers.push(waker);
            }
        }
        Poll::Pending
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.landing.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting = state.waiting.saturating_sub(1);
        if let Some(waker) = self.place.and_then(|place| state.wakers.get_mut(place)) {
            *waker = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;

    use super::{Flights, Joined, MAX_WAITERS, Waiter};

    fn wait(flights: &Arc<Flights>, key: &[u8]) -> Waiter {
        match flights.join(key) {
            Joined::Wait(waiter) => waiter,
            Joined::First(_) => panic!("nobody flies for {key:?}"),
            Joined::Crowded => panic!("too many wait for {key:?}"),
        }
    }

    #[test]
    fn one_flies_and_all_others_wait_until_it_lands() {
        let flights = Arc::<Flights>::default();
        let Joined::First(flight) = flights.join(b"k") else { panic!("nobody flies yet") };
        assert!(matches!(flights.join(b"other"), Joined::First(_)));
        assert!(!flight.is_awaited());
        let mut waiters: Vec<Waiter> = (0..1000).map(|_| wait(&flights, b"k")).collect();
        assert!(waiters.iter_mut().all(|waiter| waiter.now_or_never().is_none()));
        waiters.truncate(999);
        assert!(flight.is_awaited());
        drop(flight);
        assert!(waiters.iter_mut().all(|waiter| waiter.now_or_never().is_some()));
        assert!(matches!(flights.join(b"k"), Joined::First(_)));
    }

    #[test]
    fn how_many_wait_is_bounded_and_who_leaves_makes_room() {
        let flights = Arc::<Flights>::default();
        let Joined::First(_flight) = flights.join(b"k") else { panic!("nobody flies yet") };
        let mut waiters: Vec<Waiter> = (0..MAX_WAITERS).map(|_| wait(&flights, b"k")).collect();
        assert!(matches!(flights.join(b"k"), Joined::Crowded));
        waiters.pop();
        assert!(matches!(flights.join(b"k"), Joined::Wait(_)));
    }

    #[test]
    fn a_waiter_on_another_thread_is_woken() {
        let flights = Arc::<Flights>::default();
        let Joined::First(flight) = flights.join(b"k") else { panic!("nobody flies yet") };
        let waiter = wait(&flights, b"k");
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || runtime().block_on(waiter));
            drop(flight);
            waiting.join().unwrap();
        });
    }
}
