//! What is kept of the past: each second for ten minutes, each minute for a day, each hour for thirty days. A span that is over becomes a slot of bytes
//! and is added to the next wider one.

use std::collections::{BTreeMap, VecDeque};

use super::pile::{Fact, Pile};
use super::slot::Slot;
use super::tally::Half;

/// How long a second stays open for what workers give late, in seconds.
const GRACE: u64 = 2;

/// A width of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    Second,
    Minute,
    Hour,
}

impl Grain {
    /// Seconds of one slot.
    pub(super) const fn secs(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }

    /// Seconds that slots are kept.
    pub(super) const fn kept(self) -> u64 {
        match self {
            Self::Second => 600,
            Self::Minute => 86_400,
            Self::Hour => 30 * 86_400,
        }
    }

    /// Bytes of one slot: with all slots there are, 60 MiB.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Second => 6 << 10,
            Self::Minute => 20 << 10,
            Self::Hour => 40 << 10,
        }
    }
}

/// The past and the present.
pub(super) struct Book {
    /// Seconds that aren't closed yet.
    open: BTreeMap<u64, Pile>,
    /// The minute and the hour that run, each with its first second.
    minute: Option<(u64, Pile)>,
    hour: Option<(u64, Pile)>,
    seconds: VecDeque<Slot>,
    minutes: VecDeque<Slot>,
    hours: VecDeque<Slot>,
    /// The first second of this process.
    pub(super) began: u64,
    /// The end of the newest minute that an earlier process has kept: what was before it is known by minutes alone. 0: there was none.
    before: u64,
}

impl Book {
    pub(super) fn new(began: u64) -> Self {
        Self {
            open: BTreeMap::new(),
            minute: None,
            hour: None,
            seconds: VecDeque::new(),
            minutes: VecDeque::new(),
            hours: VecDeque::new(),
            began,
            before: 0,
        }
    }

    /// Takes up what an earlier process has kept, in the order written. Gives the hours that have become complete by that, to be written.
    pub(super) fn restore(&mut self, slots: Vec<(Grain, Slot)>, now: u64) -> Vec<(Grain, Slot)> {
        let mut complete = Vec::new();
        for (grain, slot) in slots {
            // What a clock once put into the future would never go.
            if slot.start + grain.kept() < now || slot.start > now + 3_600 {
                continue;
            }
            match grain {
                Grain::Second => {}
                Grain::Minute => {
                    self.before = self.before.max(slot.start + Grain::Minute.secs());
                    self.minutes.push_back(slot);
                }
                Grain::Hour => self.hours.push_back(slot),
            }
        }
        self.minutes.make_contiguous().sort_by_key(|slot| slot.start);
        self.hours.make_contiguous().sort_by_key(|slot| slot.start);
        let counted = self.hours.back().map_or(0, |hour| hour.start + Grain::Hour.secs());
        for minute in self.minutes.clone().iter().filter(|minute| minute.start >= counted) {
            let mut pile = Pile::default();
            minute.each(|names, status, sum| pile.add(Fact { names: names.map(Into::into), status }, sum));
            complete.extend(self.add_to_hour(minute.start, &pile));
        }
        self.drop_old(now);
        complete
    }

    /// Adds what workers have counted.
    pub(super) fn take(&mut self, halves: &[Half]) {
        // What comes for a second that is closed counts for the oldest that isn't.
        let closed = self.seconds.back().map_or(0, |slot| slot.start + 1);
        for half in halves {
            self.open.entry(half.second.max(closed)).or_default().add_rows(&half.rows);
        }
    }

    /// Closes what is over; with `all`, the second and the minute that run too. Gives what has to be written.
    pub(super) fn close(&mut self, now: u64, all: bool) -> Vec<(Grain, Slot)> {
        let mut written = Vec::new();
        while let Some(entry) = self.open.first_entry().filter(|entry| all || entry.key() + GRACE < now) {
            let (second, pile) = entry.remove_entry();
            self.seconds.push_back(Slot::of(second, &pile, Grain::Second.bytes()));
            let start = second - second % Grain::Minute.secs();
            if self.minute.as_ref().is_some_and(|(running, _)| *running != start) {
                self.close_minute(&mut written);
            }
            let (_, minute) = self.minute.get_or_insert_with(|| (start, Pile::default()));
            pile.iter().for_each(|(fact, sum)| minute.add(fact.clone(), sum));
        }
        let over = |start: u64, grain: Grain| all || start + grain.secs() + GRACE < now;
        if self.minute.as_ref().is_some_and(|(start, _)| over(*start, Grain::Minute)) {
            self.close_minute(&mut written);
        }
        // An hour that isn't over is made again from its minutes at the next start.
        if let Some((start, pile)) =
            self.hour.take_if(|(start, _)| *start + Grain::Hour.secs() + GRACE + Grain::Minute.secs() < now)
        {
            written.push(self.keep_hour(start, &pile));
        }
        self.drop_old(now);
        written
    }

    fn close_minute(&mut self, written: &mut Vec<(Grain, Slot)>) {
        let Some((start, pile)) = self.minute.take() else { return };
        let slot = Slot::of(start, &pile, Grain::Minute.bytes());
        self.minutes.push_back(slot.clone());
        written.push((Grain::Minute, slot));
        written.extend(self.add_to_hour(start, &pile));
    }

    /// Adds a minute to its hour. Gives the hour before, where that is over by this.
    fn add_to_hour(&mut self, minute: u64, pile: &Pile) -> Option<(Grain, Slot)> {
        let start = minute - minute % Grain::Hour.secs();
        let over = self.hour.take_if(|(running, _)| *running != start);
        let complete = over.map(|(start, pile)| self.keep_hour(start, &pile));
        let (_, hour) = self.hour.get_or_insert_with(|| (start, Pile::default()));
        pile.iter().for_each(|(fact, sum)| hour.add(fact.clone(), sum));
        complete
    }

    fn keep_hour(&mut self, start: u64, pile: &Pile) -> (Grain, Slot) {
        let slot = Slot::of(start, pile, Grain::Hour.bytes());
        self.hours.push_back(slot.clone());
        (Grain::Hour, slot)
    }

    fn drop_old(&mut self, now: u64) {
        for (slots, grain) in [
            (&mut self.seconds, Grain::Second),
            (&mut self.minutes, Grain::Minute),
            (&mut self.hours, Grain::Hour),
        ] {
            let most = usize::try_from(grain.kept() / grain.secs()).unwrap_or(usize::MAX) + 60;
            while slots.front().is_some_and(|slot| slot.start + grain.kept() < now) || slots.len() > most {
                slots.pop_front();
            }
        }
    }

    /// The finest grain that reaches back to this second.
    pub(super) fn grain(&self, from: u64, now: u64) -> Grain {
        if from + Grain::Second.kept() >= now && (from >= self.began || from >= self.before) {
            Grain::Second
        } else if from + Grain::Minute.kept() >= now {
            Grain::Minute
        } else {
            Grain::Hour
        }
    }

    /// Everything that is kept at this grain, and what is finer and in no slot of it yet.
    pub(super) fn slots(&self, grain: Grain) -> Vec<Slot> {
        let mut slots: Vec<Slot> = match grain {
            Grain::Second => self.seconds.iter().cloned().collect(),
            Grain::Minute => self.minutes.iter().cloned().collect(),
            Grain::Hour => self.hours.iter().cloned().collect(),
        };
        let mut running = |start: u64, pile: &Pile| slots.push(Slot::of(start, pile, usize::MAX));
        if let (Grain::Hour, Some((start, pile))) = (grain, &self.hour) {
            running(*start, pile);
        }
        if let (Grain::Hour | Grain::Minute, Some((start, pile))) = (grain, &self.minute) {
            running(*start, pile);
        }
        self.open
            .iter()
            .filter(|(_, pile)| !pile.is_empty())
            .for_each(|(second, pile)| running(*second, pile));
        slots
    }

    /// Everything that the file has to hold.
    pub(super) fn kept(&self) -> impl Iterator<Item = (Grain, &Slot)> {
        let minutes = self.minutes.iter().map(|slot| (Grain::Minute, slot));
        self.hours.iter().map(|slot| (Grain::Hour, slot)).chain(minutes)
    }

    /// The oldest second that anything is kept of.
    pub(super) fn since(&self) -> Option<u64> {
        let slots = [&self.hours, &self.minutes, &self.seconds];
        let kept = slots.into_iter().filter_map(VecDeque::front).map(|slot| slot.start);
        let running = [&self.hour, &self.minute].into_iter().flatten().map(|(start, _)| *start);
        kept.chain(running).chain(self.open.keys().copied()).min()
    }
}
