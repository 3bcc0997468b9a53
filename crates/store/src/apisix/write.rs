//! Writes a change to the far side, object by object, and then takes it into the copy together with the history that tells of it.
//!
//! What is about to be done is noted first, so that after a crash in the middle the history is completed from the note.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_model::kind::{Key, PREFIX};

use super::client::Trouble;
use super::object::{self, Object};
use super::order::rank;
use super::{Held, Known, Own};
use crate::{Committed, Store as _, StoreError, Transaction, Write};

/// Where the note is kept.
pub(super) const PENDING: &str = "/usher/far/pending";

/// Keys that are read one by one before a change; where there are more, everything is read.
const READ_ALONE: usize = 30;

/// The note of a change that was begun.
#[derive(Serialize, Deserialize)]
struct Pending {
    /// Usher's own keys, such as the history, or nothing where a key is deleted.
    own: Vec<(String, Option<Text>)>,
    /// The resources, sealed.
    far: Vec<(String, Option<Value>)>,
}

/// A value as the note holds it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    /// What is no text, such as the packed parts of a large entry of the history.
    Bytes {
        base64: String,
    },
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Plain(text.to_owned()),
            Err(_) => Self::Bytes { base64: STANDARD.encode(bytes) },
        }
    }

    fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Plain(text) => Some(text.into_bytes()),
            Self::Bytes { base64 } => STANDARD.decode(base64).ok(),
        }
    }
}

/// One request that is about to be made.
struct Request {
    key: Key,
    method: Method,
    body: Option<Value>,
    etag: Option<String>,
    /// What the copy holds afterwards.
    after: Option<Value>,
    /// It is so already at the far side, and only the copy changes: a secret was sealed anew.
    is_so: bool,
}

impl Held {
    pub(super) async fn commit(&self, transaction: Transaction) -> Result<Committed, StoreError> {
        let mut known = self.turn.lock().await;
        let (own, far) = parts(&transaction)?;
        if known.unsettled {
            self.look_now(&mut known).await?;
            if known.unsettled {
                self.refuse_while_held()?;
            }
        }
        if far.is_empty() {
            return self.copy.commit(transaction).await;
        }
        self.refuse_while_held()?;
        let keys: BTreeSet<Key> = far
            .keys()
            .cloned()
            .chain(transaction.compare.iter().filter_map(|(path, _)| Key::parse(path)))
            .collect();
        let fresh = self.freshen(&mut known, &keys, &far).await?;
        // What was read for it may have shown the loss.
        self.refuse_while_held()?;
        for (path, compare) in &transaction.compare {
            compare.check(path, self.copy.get(path).await?.as_ref())?;
        }
        let requests = self.requests(far, &fresh).await?;
        self.note(&own, &requests).await?;
        known.unsettled = true;
        let committed = self.send(own, requests).await;
        // As long as the note is there, nobody knows how far it came.
        known.unsettled = !matches!(self.copy.get(PENDING).await, Ok(None));
        // A look that began before sees less than was done.
        self.wrote();
        committed
    }

    /// What is written by what is held back may be meant for ghosts.
    fn refuse_while_held(&self) -> Result<(), StoreError> {
        match &self.health().held {
            Some(held) => Err(StoreError::Unavailable(format!("nothing is written meanwhile: {held}"))),
            None => Ok(()),
        }
    }

    /// Reads the keys of a change anew, so that what others did since the last look is compared with.
    async fn freshen(
        &self,
        known: &mut Known,
        keys: &BTreeSet<Key>,
        far: &BTreeMap<Key, Option<Value>>,
    ) -> Result<BTreeMap<Key, Object>, StoreError> {
        let mut fresh = BTreeMap::new();
        if keys.len() > READ_ALONE {
            self.look_now(known).await?;
        }
        // A patch goes by what is there now, so those that need one are read in any case.
        let needs = |key: &&Key| {
            keys.len() <= READ_ALONE
                || far.get(key).is_some_and(|value| value.as_ref().is_some_and(object::kept_inside))
        };
        let mut news = Transaction::default();
        for key in keys.iter().filter(needs) {
            let path = key.path();
            let entry = self.copy.get(&path).await?;
            match self.fresh(key).await? {
                Some(object) => {
                    if let Some(value) = self.news(known, &object, entry.as_ref())? {
                        news = news.put(path, value);
                    }
                    fresh.insert(key.clone(), object);
                }
                None if entry.is_some() => {
                    known.marks.remove(key);
                    news = news.delete(path);
                }
                None => {}
            }
        }
        if !news.writes.is_empty() {
            self.copy.commit(news).await?;
            self.wrote();
        }
        self.is_back();
        Ok(fresh)
    }

    /// The requests of a change, in the order in which they are made.
    async fn requests(
        &self,
        far: BTreeMap<Key, Option<Value>>,
        fresh: &BTreeMap<Key, Object>,
    ) -> Result<Vec<Request>, StoreError> {
        let mut requests = Vec::with_capacity(far.len());
        for (key, after) in far {
            // The copy is as fresh as what was read for this change.
            let copied = self.copy.get(&key.path()).await?;
            let known = copied.and_then(|entry| self.opened(&key, &entry.value));
            let is_so =
                known.zip(after.as_ref()).is_some_and(|(known, after)| self.is_same(&key, &known, after));
            let there = fresh.get(&key);
            let etag = there.and_then(|object| object.etag.clone());
            let (method, body) = match &after {
                None => (Method::DELETE, None),
                Some(_) if is_so => (Method::PUT, None),
                Some(value) => self.sent(&key, value, there)?,
            };
            requests.push(Request { key, method, body, etag, after, is_so });
        }
        requests.sort_by_key(|request| rank((&request.key, request.after.is_some())));
        Ok(requests)
    }

    /// How a value is sent: whole and in clear, or as a patch where it holds what only the far side knows.
    fn sent(
        &self,
        key: &Key,
        value: &Value,
        there: Option<&Object>,
    ) -> Result<(Method, Option<Value>), StoreError> {
        let mut clear = value.clone();
        if !(self.sealing.open)(key, &mut clear) || object::sealed_inside(&clear) {
            return Err(StoreError::Refused(format!(
                "a secret of {key} is sealed and can't be opened, and what is sealed is never sent; give the secret anew"
            )));
        }
        let clear = object::bare(&clear);
        if !object::kept_inside(&clear) {
            return Ok((Method::PUT, Some(clear)));
        }
        let patch = there
            .filter(|_| object::is_patched(key.kind))
            .and_then(|object| object::patch(&object::bare(&object.value), &clear))
            .filter(|patch| !object::kept_inside(patch));
        match patch {
            Some(patch) => Ok((Method::PATCH, Some(patch))),
            None => Err(StoreError::Refused(format!(
                "a secret of {key} is known to the APISIX alone, which doesn't show it, so the object can't be written whole; give the secret anew"
            ))),
        }
    }

    async fn note(&self, own: &Own, requests: &[Request]) -> Result<(), StoreError> {
        let far = requests.iter().map(|request| (request.key.path(), request.after.clone())).collect();
        let own = own.iter().map(|(key, value)| (key.clone(), value.as_deref().map(Text::of))).collect();
        let pending = serde_json::to_vec(&Pending { own, far });
        let pending = pending.map_err(|error| StoreError::Refused(error.to_string()))?;
        self.copy.commit(Transaction::default().put(PENDING, pending)).await.map(drop)
    }

    /// Makes the requests one after another, and takes what was done into the copy.
    async fn send(&self, own: Own, requests: Vec<Request>) -> Result<Committed, StoreError> {
        let mut done = Vec::with_capacity(requests.len());
        let mut failed = None;
        for request in requests {
            let made = if request.is_so { Ok(()) } else { self.make(&request).await };
            match made {
                Ok(()) => done.push((request.key.path(), request.after)),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let kept = |error: StoreError| {
            StoreError::Unknown(format!(
                "the APISIX was written to, and the copy beside it can't be: {error}; it is taken over once it can"
            ))
        };
        match failed {
            None => self.keep(own, &done).await.map_err(kept),
            // The note stays: the next look tells what became of it.
            Some(error @ StoreError::Unknown(_)) => Err(error),
            Some(error) if done.is_empty() => {
                self.copy.commit(Transaction::default().delete(PENDING)).await?;
                Err(error)
            }
            Some(error) => {
                let reason = error.to_string();
                let paths: Vec<String> = done.iter().map(|(path, _)| path.clone()).collect();
                let own = (self.sealing.amend)(own, &paths, &reason);
                self.keep(own, &done).await.map_err(kept)?;
                Err(StoreError::Partial { done: paths, reason })
            }
        }
    }

    async fn make(&self, request: &Request) -> Result<(), StoreError> {
        let path = object::path(&request.key);
        let sent = self
            .far
            .write(request.method.clone(), &path, request.body.as_ref(), request.etag.as_deref())
            .await;
        match sent {
            Ok(()) => Ok(()),
            Err(Trouble::Refused { status: 404, .. }) if request.method == Method::DELETE => Ok(()),
            Err(Trouble::Refused { status: 412, .. }) => Err(StoreError::Conflict {
                key: request.key.path(),
                expected: "what was read a moment ago".to_owned(),
                found: "another version".to_owned(),
            }),
            Err(Trouble::Refused { sentence, .. }) => {
                Err(StoreError::Refused(format!("{}: {sentence}", request.key)))
            }
            Err(trouble @ Trouble::Away(_)) => self.became(request, &trouble).await,
        }
    }

    /// Asks what became of a write that wasn't answered.
    async fn became(&self, request: &Request, trouble: &Trouble) -> Result<(), StoreError> {
        let Ok(now) = self.fresh(&request.key).await else {
            return Err(StoreError::Unknown(trouble.sentence()));
        };
        let is_done = match (&now, &request.after) {
            (None, None) => true,
            (Some(object), Some(after)) => self.is_same(&object.key, &object.value, after),
            _ => false,
        };
        if is_done { Ok(()) } else { Err(trouble.clone().into()) }
    }

    /// Whether a value in clear and a sealed one are the same to the far side.
    fn is_same(&self, key: &Key, clear: &Value, sealed: &Value) -> bool {
        let mut opened = sealed.clone();
        (self.sealing.open)(key, &mut opened) && object::same(clear, &opened)
    }

    /// Takes what was done into the copy, in one transaction with Usher's own keys.
    async fn keep(&self, own: Own, done: &[(String, Option<Value>)]) -> Result<Committed, StoreError> {
        let mut transaction = Transaction::default().delete(PENDING);
        for (path, value) in own {
            transaction = match value {
                Some(value) => transaction.put(path, value),
                None => transaction.delete(path),
            };
        }
        for (path, value) in done {
            transaction = match value {
                Some(value) => {
                    let bytes =
                        serde_json::to_vec(value).map_err(|error| StoreError::Refused(error.to_string()))?;
                    transaction.put(path, bytes)
                }
                None => transaction.delete(path),
            };
        }
        self.copy.commit(transaction).await
    }

    /// Ends a change that was begun and of which nobody knows how far it came: what is at the far side as it was wanted was done.
    pub(super) async fn settle(&self, known: &mut Known) -> Result<(), StoreError> {
        if !known.unsettled {
            return Ok(());
        }
        let note = self.copy.get(PENDING).await?;
        if let Some(pending) = note.and_then(|entry| serde_json::from_slice::<Pending>(&entry.value).ok()) {
            let (mut done, wished) = (Vec::new(), pending.far.len());
            for (path, wanted) in pending.far {
                let Some(key) = Key::parse(&path) else { continue };
                let now = self.copy.get(&path).await?.and_then(|entry| self.opened(&key, &entry.value));
                let is_done = match (&now, &wanted) {
                    (None, None) => true,
                    (Some(now), Some(wanted)) => self.is_same(&key, now, wanted),
                    _ => false,
                };
                if is_done {
                    done.push((path, wanted));
                }
            }
            tracing::warn!(
                done = done.len(),
                "a change was broken off; the history tells of it where something was done"
            );
            if !done.is_empty() {
                let mut own: Own = Vec::with_capacity(pending.own.len());
                for (key, value) in pending.own {
                    // What can't be read is left as it is.
                    match value.map(Text::bytes) {
                        None => own.push((key, None)),
                        Some(Some(bytes)) => own.push((key, Some(bytes))),
                        Some(None) => {}
                    }
                }
                if done.len() < wished {
                    let paths: Vec<String> = done.iter().map(|(path, _)| path.clone()).collect();
                    own = (self.sealing.amend)(own, &paths, "it was broken off in between");
                }
                self.keep(own, &done).await?;
            }
        }
        self.copy.commit(Transaction::default().delete(PENDING)).await?;
        known.unsettled = false;
        Ok(())
    }
}

type Parts = (Own, BTreeMap<Key, Option<Value>>);

/// Usher's own keys, and the resources. A later write of the same key wins.
fn parts(transaction: &Transaction) -> Result<Parts, StoreError> {
    let refused =
        |path: &str, reason: &str| StoreError::Refused(format!("{path} can't be written: {reason}"));
    let (mut own, mut far) = (Vec::new(), BTreeMap::new());
    for write in &transaction.writes {
        let (path, value) = match write {
            Write::Put { key, ttl_secs: Some(_), .. } if key.starts_with(PREFIX) => {
                return Err(refused(key, "an APISIX's objects have no time to live here"));
            }
            Write::Put { key, value, .. } => (key, Some(value)),
            Write::Delete { key } => (key, None),
        };
        if path.starts_with(PREFIX) {
            let key = Key::parse(path).ok_or_else(|| refused(path, "this is no resource of APISIX's"))?;
            let value = value.map(|bytes| serde_json::from_slice(bytes)).transpose();
            far.insert(key, value.map_err(|error| refused(path, &error.to_string()))?);
        } else {
            own.push((path.clone(), value.map(|bytes| bytes.to_vec())));
        }
    }
    Ok((own, far))
}
