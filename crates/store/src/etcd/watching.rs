//! One watch of one space: events become transactions, in order, and silence becomes an error.
//!
//! The mirror's revision moves only by what comes on this stream behind all earlier events: events, and etcd's own word of progress for this
//! watch. What a question for progress brings back is a sign of life and nothing else, because older members answer it out of order.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::unfold;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::fault::Fault;
use super::load::entry;
use super::member::Member;
use super::mirror::{Change, Mirror};
use super::names::Names;
use super::wire::event::EventType;
use super::wire::watch_request::RequestUnion;
use super::wire::{
    self, Event, RangeRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};

/// How often a sign of life is asked for.
const ASK: Duration = Duration::from_secs(5);
/// A stream that says nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(15);
/// How long opening may take.
const OPEN: Duration = Duration::from_secs(5);

/// Why a watch ended.
pub(super) enum Ended {
    /// What happened since isn't kept any more.
    Compacted,
    Failed(Fault),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

/// Watches from the mirror's place on, until it fails.
pub(super) async fn watch(member: &Arc<Member>, names: &Names, mirror: &Mirror, marker: &[u8]) -> Ended {
    let ended = match follow(member, names, mirror, marker).await {
        Ok(never) => match never {},
        Err(ended) => ended,
    };
    if let Ended::Failed(fault) = &ended
        && !matches!(fault, Fault::Refused(..))
    {
        member.fail(fault.text());
    }
    ended
}

async fn follow(
    member: &Arc<Member>,
    names: &Names,
    mirror: &Mirror,
    marker: &[u8],
) -> Result<std::convert::Infallible, Ended> {
    let space = mirror.space;
    let from = mirror.place().map_or(0, |place| place.revision) + 1;
    let (key, range_end) = names.range(space);
    let create = WatchCreateRequest {
        key,
        range_end,
        start_revision: i64::try_from(from).unwrap_or_default(),
        progress_notify: true,
        prev_kv: space.kept().iter().all(|kept| *kept != space.prefix()),
        fragment: true,
    };
    let (requests, asked) = mpsc::channel(4);
    let first = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    // The channel is new, so there is room.
    let _ = requests.try_send(first);
    let asked = unfold(asked, |mut asked| async move { asked.recv().await.map(|request| (request, asked)) });
    let mut answers = member.watch(asked, OPEN).await?;
    let mut tick = tokio::time::interval(ASK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let mut whole = false;
    let mut gathered = Gathered { names, mirror, marker, revision: 0, events: Vec::new() };
    loop {
        tokio::select! {
            answer = answers.message() => {
                heard = Instant::now();
                match answer {
                    Ok(Some(answer)) => {
                        if !whole && !answer.created && answer.watch_id >= 0 {
                            begins_whole(member, names, from).await?;
                            whole = true;
                        }
                        gathered.take(answer)?;
                    }
                    Ok(None) => return Err(Fault::Lost("the member ended the watch".to_owned()).into()),
                    Err(status) => return Err(Fault::of(&status).into()),
                }
            }
            _ = tick.tick() => {
                if heard.elapsed() > SILENCE {
                    return Err(Fault::Lost(format!("{} said nothing for {SILENCE:?}", member.endpoint)).into());
                }
                let ask = WatchRequest { request_union: Some(RequestUnion::ProgressRequest(WatchProgressRequest {})) };
                // Where the member takes no more requests, silence tells soon.
                let _ = requests.try_send(ask);
            }
            () = member.broken.cancelled() => {
                return Err(Fault::Lost(format!("the connection to {} ended", member.endpoint)).into());
            }
        }
    }
}

/// Whether nothing was left out where a watch begins. A history that was compacted at that very revision has lost the deletion that the revision may
/// have been, and older members begin there all the same (etcd's issue 19179, mended in 3.4.36, 3.5.18 and 3.6). Asked when the watch has said its
/// first word: what is compacted from then on was told before.
async fn begins_whole(member: &Arc<Member>, names: &Names, from: u64) -> Result<(), Ended> {
    let Some(revision) = from.checked_sub(1).filter(|revision| *revision > 0) else { return Ok(()) };
    let revision = i64::try_from(revision).unwrap_or_default();
    let question = RangeRequest { revision, keys_only: true, ..wire::one(names.hidden("probe")) };
    match member.range(question, OPEN).await {
        Ok(_) => Ok(()),
        Err(fault) if fault.is_compacted() => Err(Ended::Compacted),
        Err(fault) => Err(Ended::Failed(fault)),
    }
}

/// Events of one revision, until all of them are there: a large answer comes in pieces.
struct Gathered<'a> {
    names: &'a Names,
    mirror: &'a Mirror,
    marker: &'a [u8],
    revision: i64,
    events: Vec<Event>,
}

impl Gathered<'_> {
    fn take(&mut self, answer: WatchResponse) -> Result<(), Ended> {
        if answer.compact_revision > 0 {
            return Err(Ended::Compacted);
        }
        if answer.canceled {
            let reason =
                if answer.cancel_reason.is_empty() { "the watch was refused" } else { &answer.cancel_reason };
            return Err(Fault::Lost(reason.to_owned()).into());
        }
        let progress =
            answer.events.is_empty() && !answer.created && !answer.fragment && answer.watch_id >= 0;
        for event in answer.events {
            let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
            if revision != self.revision {
                self.flush();
                self.revision = revision;
            }
            self.events.push(event);
        }
        if !answer.fragment {
            self.flush();
        }
        if progress {
            let revision = answer.header.map_or(0, |header| header.revision);
            self.mirror.advance(revision.unsigned_abs());
        }
        Ok(())
    }

    fn flush(&mut self) {
        if self.events.is_empty() {
            return;
        }
        let mut ours = false;
        let mut changes = Vec::with_capacity(self.events.len());
        for Event { r#type, kv, prev_kv } in self.events.drain(..) {
            let Some(kv) = kv else { continue };
            ours |= kv.key == self.marker;
            let Some(key) = self.names.of_etcd(self.mirror.space, &kv.key) else { continue };
            let before = prev_kv.map(|before| entry(Arc::clone(&key), before));
            let put = r#type == i32::from(EventType::Put);
            let lease = if put { kv.lease } else { 0 };
            let after = put.then(|| entry(Arc::clone(&key), kv));
            changes.push(Change { key, after, before, lease });
        }
        self.mirror.apply(self.revision.unsigned_abs(), changes, ours);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::{Ended, Gathered};
    use crate::etcd::load::Loaded;
    use crate::etcd::mirror::Mirror;
    use crate::etcd::names::{Names, Space};
    use crate::etcd::wire::event::EventType;
    use crate::etcd::wire::{Event, KeyValue, ResponseHeader, WatchResponse};

    fn put(key: &str, revision: i64) -> Event {
        let kv = KeyValue {
            key: key.into(),
            value: b"x".to_vec(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            ..KeyValue::default()
        };
        Event { r#type: EventType::Put.into(), kv: Some(kv), prev_kv: None }
    }

    fn answer(events: Vec<Event>) -> WatchResponse {
        WatchResponse { events, ..WatchResponse::default() }
    }

    fn progress(watch_id: i64, revision: i64) -> WatchResponse {
        let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
        WatchResponse { watch_id, header, ..WatchResponse::default() }
    }

    /// What watchers see of these answers, as revision and number of events; and where the mirror is at the end.
    fn told(answers: Vec<WatchResponse>) -> (Vec<(u64, usize)>, u64, Option<Ended>) {
        let mirror = Mirror::new(Space::Resources);
        mirror.replace(Loaded { revision: 10, ..Loaded::default() }, false).unwrap();
        let mut watch = mirror.feed.watch("", 11);
        let names = Names::new("/apisix");
        let marker = b"/apisix/usher/writers/me";
        let mut gathered =
            Gathered { names: &names, mirror: &mirror, marker, revision: 0, events: Vec::new() };
        let ended = answers.into_iter().find_map(|answer| gathered.take(answer).err());
        let mut told = Vec::new();
        while let Some(batch) = watch.next().now_or_never() {
            let batch = batch.unwrap();
            told.push((batch.revision, batch.events.len()));
        }
        (told, mirror.place().unwrap().revision, ended)
    }

    #[test]
    fn a_transaction_is_one_batch_however_its_events_come() {
        let piece = |events, fragment| WatchResponse { fragment, ..answer(events) };
        let (told, revision, ended) = told(vec![
            answer(vec![
                put("/apisix/routes/1", 11),
                put("/apisix/routes/2", 11),
                put("/apisix/routes/1", 13),
            ]),
            piece(vec![put("/apisix/routes/1", 14), put("/apisix/routes/2", 15)], true),
            piece(vec![put("/apisix/routes/3", 15)], true),
            piece(vec![put("/apisix/routes/4", 15)], false),
            // What came before the stream was opened anew is known.
            answer(vec![put("/apisix/routes/9", 14)]),
        ]);
        assert!(ended.is_none());
        assert_eq!((told, revision), (vec![(11, 2), (13, 1), (14, 1), (15, 3)], 15));
    }

    #[test]
    fn only_ordered_words_move_the_revision() {
        let created = WatchResponse { created: true, ..progress(0, 99) };
        let (told_of, revision, _) = told(vec![created, progress(-1, 50)]);
        assert_eq!((told_of, revision), (vec![], 10));
        let (told_of, revision, _) = told(vec![progress(0, 20), answer(vec![put("/apisix/routes/1", 21)])]);
        assert_eq!((told_of, revision), (vec![(21, 1)], 21));
        // Keys that are no entries move it too; somebody waits for the one that this process wrote.
        let hidden = ["/apisix/routes/", "/apisix/usher/writers/other"];
        let hidden = hidden.into_iter().zip(30..).map(|(key, revision)| put(key, revision)).collect();
        let (told_of, revision, _) =
            told(vec![answer(hidden), answer(vec![put("/apisix/usher/writers/me", 40)])]);
        assert_eq!((told_of, revision), (vec![(40, 0)], 40));
    }

    #[test]
    fn an_end_is_told_by_its_reason() {
        let compacted = WatchResponse { canceled: true, compact_revision: 50, ..WatchResponse::default() };
        assert!(matches!(told(vec![compacted]).2, Some(Ended::Compacted)));
        let refused =
            WatchResponse { canceled: true, cancel_reason: "no".to_owned(), ..WatchResponse::default() };
        assert!(matches!(told(vec![refused]).2, Some(Ended::Failed(fault)) if fault.text() == "no"));
    }
}
