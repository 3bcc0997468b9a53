//! What ends by itself, and when: beside every object that is given a time to live stands a note of it.
//!
//! The store alone deletes the object, and no kind of store says of a deletion why it was. The note tells that it was meant, so that what lives
//! below the object goes too ([`Service::attend`]), and that nothing is left without what it refers to ([`super::check`]). A note is written in
//! its object's own transaction and holds as long as both were last changed by the same revision: writing the object anew voids it. Of an object
//! that another program gave an end to, on a store that several write to, the note is written behind it, and says which revision it is of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use usher_model::change::{Principal, Risk, Role};
use usher_model::kind::{Key, PREFIX as RESOURCES};
use usher_store::{Compare, StoreError, Transaction, Write};

use super::access::Row;
use super::commit::Ready;
use super::journal::{Author, SYSTEM, SYSTEM_DOOR};
use super::wish::{Aim, Wish};
use super::{Service, ServiceError, encoded, new_id, unix_ms};

/// What the keys of all notes begin with.
const PREFIX: &str = "/usher/ends/";

/// Objects that are deleted together, and notes: every store takes so many.
const TOGETHER: usize = 100;

/// How often is tried when somebody else writes to the store.
const TRIES: usize = 8;

/// When one object ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct End {
    /// The object's key.
    key: String,
    /// By the clock of who wrote it, in milliseconds since 1970.
    until_unix_ms: u64,
    /// The revision of the object that it is of, where another program wrote that; otherwise it is the note's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<u64>,
    /// The revision that wrote the note.
    #[serde(skip)]
    revision: u64,
}

impl End {
    /// The revision of the object that it speaks of.
    fn of(&self) -> u64 {
        self.of.unwrap_or(self.revision)
    }
}

impl Row for End {
    const PREFIX: &'static str = PREFIX;
    type Id = String;

    fn id(&self) -> Option<String> {
        Some(self.key.clone())
    }

    fn written_at(&mut self, revision: u64) {
        self.revision = revision;
    }
}

fn note_of(path: &str) -> String {
    format!("{PREFIX}{}", path.strip_prefix(RESOURCES).unwrap_or(path).trim_start_matches('/'))
}

/// When something ends that is given so many seconds now, in milliseconds since 1970.
pub(super) fn after(ttl_secs: u64) -> u64 {
    unix_ms().saturating_add(ttl_secs.saturating_mul(1000))
}

/// The note of an object that is put with a time to live.
pub(super) fn note(key: &Key, ttl_secs: u64) -> Result<Write, ServiceError> {
    let path = key.path();
    let note = note_of(&path);
    let end = End { key: path, until_unix_ms: after(ttl_secs), of: None, revision: 0 };
    Ok(Write::Put { key: note, value: encoded(&end)?.into(), ttl_secs: None })
}

impl Service {
    /// When the object of this key ends, which was last changed by this revision; `None`: never, as far as Usher knows.
    pub(super) fn ends_at(&self, key: &Key, modified: u64) -> Option<u64> {
        let end = self.ends.find(&key.path())?;
        (end.of() == modified).then_some(end.until_unix_ms)
    }

    /// Notes the ends that other programs gave to objects: to these, or to any. An object that is written anew in between has another end, or
    /// none, which is noted with that.
    pub(super) async fn note_ends_of_others(&self, of: Option<&Vec<Arc<str>>>) -> Result<(), ServiceError> {
        let leases = match of {
            Some(keys) => self.store().leases_of(keys).await?,
            None => self.store().leases().await?,
        };
        let unknown = leases.into_iter().filter_map(|lease| {
            let key = Key::parse(&lease.key)?;
            self.ends_at(&key, lease.modified).is_none().then_some((key, lease))
        });
        for (key, lease) in unknown {
            let path = key.path();
            let note = note_of(&path);
            let known = match self.ends.find(&path) {
                Some(end) => Compare::Modified(end.revision),
                None => Compare::Absent,
            };
            let end = End {
                key: path.clone(),
                until_unix_ms: lease.until_unix_ms,
                of: Some(lease.modified),
                revision: 0,
            };
            let noted = Transaction::default()
                .expect(path, Compare::Modified(lease.modified))
                .expect(note.clone(), known)
                .put(note, encoded(&end)?);
            match self.store().commit(noted).await {
                // Another gateway was faster, or the object is another by now.
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether anything ends by itself.
    pub(super) fn has_ends(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Deletes what lives below objects that ended, and notes that are void: of these keys, or of all.
    pub(super) async fn end_what_is_below(&self, of: Option<&Vec<Arc<str>>>) -> Result<(), ServiceError> {
        if !self.has_ends() {
            return Ok(());
        }
        let looked = match of {
            Some(keys) => keys.iter().filter_map(|key| self.ends.find(&key.to_string())).collect(),
            None => self.ends.all(),
        };
        let mut void = Vec::new();
        for end in looked {
            let Some(key) = Key::parse(&end.key) else {
                void.push(end);
                continue;
            };
            match self.held(&key).await? {
                Some(held) if held.modified == end.of() => {}
                Some(_) => void.push(end),
                None => {
                    self.end_below(&key).await?;
                    void.push(end);
                }
            }
        }
        for some in void.chunks(TOGETHER) {
            let mut gone = Transaction::default();
            for end in some {
                let note = note_of(&end.key);
                gone = gone.expect(note.clone(), Compare::Modified(end.revision)).delete(note);
            }
            match self.store().commit(gone).await {
                // Another gateway was faster, or the object was written anew meanwhile.
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Deletes what lives below an object that is gone.
    async fn end_below(&self, above: &Key) -> Result<(), ServiceError> {
        let Some((prefix, _)) = above.below() else { return Ok(()) };
        let system = Principal::new(SYSTEM, Role::Admin, SYSTEM_DOOR);
        let mut tries = 0;
        loop {
            let _writing = self.turns.alone().await;
            if self.held(above).await?.is_some() {
                return Ok(());
            }
            let page = self.store().list_page(&prefix, None, TOGETHER, false).await?.entries;
            let edits: Vec<Aim> = page
                .iter()
                .filter_map(|entry| Key::parse(&entry.key))
                .map(|key| Aim { key, after: None })
                .collect();
            if edits.is_empty() {
                return Ok(());
            }
            let wish = Wish::exact(Vec::new(), false);
            let plan = new_id()?;
            let intent = format!("{above} ended: its time to live was over");
            let author = Author {
                who: &system,
                plan: &plan,
                intent: Some(&intent),
                risk: Risk::High,
                undoes: None,
                approval: "direct",
                step: None,
            };
            let world = self.check(&system, &wish, edits).await?;
            let ready = Ready::of(world, &wish)?;
            match self.commit(&author, &ready).await {
                Ok(_) => tries = 0,
                Err(ServiceError::Store(StoreError::Conflict { key, .. })) if tries < TRIES => {
                    tries += 1;
                    self.let_others_in(&key, ready.base).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
