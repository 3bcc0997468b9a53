//! What chats and agents did: a record of every call of a tool, chained as the audit is, in a bounded file of its own.
//!
//! It is apart from the audit because looking must change nothing: a record here moves no revision, and a thousand looks push no change out of the
//! audit. What a tool was asked with is in it as a keyed digest alone, so that no secret and nobody's words are kept.

mod log;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use usher_model::change::{Door, Principal, Role};

use super::audit::{ALTERED, follows, hex_digest};
use super::escape::shortened;
use super::{AuditQuery, AuditVerdict, Service, ServiceError, consent, encoded, unix_ms};
use log::LogFile;

/// Records that are kept where there is no folder for them.
const MOST_IN_MEMORY: usize = 1000;
/// Characters of what a client says of itself.
const MOST_WORD: usize = 120;
/// Records that a query gives unless it says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallOutcome {
    /// The tool has done what it was called for.
    Done,
    /// It was refused, or could not be done.
    Refused,
    /// A person was asked first; the client calls again with the answer.
    Asked,
}

/// A call as whoever took it tells of it.
#[derive(Clone, Debug)]
pub struct MadeCall<'a> {
    /// The tool's name, as the caller wrote it.
    pub tool: &'a str,
    /// What it was called with, as [`Service::call_digest`] tells it.
    pub arguments: String,
    /// What the client calls itself; `None` where it says nothing.
    pub client: Option<String>,
    /// The session or conversation it belongs to; `None` where there is none.
    pub conversation: Option<String>,
    /// The plan that it made or was about.
    pub plan: Option<String>,
    /// The risk of that plan, where the answer says it.
    pub risk: Option<String>,
    /// Who agreed to it, where somebody was asked.
    pub approval: Option<String>,
    /// What came of it.
    pub outcome: CallOutcome,
    /// How long it took, a person's thinking included.
    pub took: Duration,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Its number, from 1, without gaps.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Who: the name of the token, key or user.
    pub principal: String,
    /// With which role.
    pub role: Role,
    /// Through which door.
    pub door: Door,
    /// What the client calls itself.
    pub client: Option<String>,
    /// The session or conversation.
    pub conversation: Option<String>,
    /// The tool.
    pub tool: String,
    /// A keyed digest of what it was called with: equal arguments have equal ones.
    pub arguments: String,
    /// The plan that it made or was about.
    pub plan: Option<String>,
    /// The plan's risk.
    pub risk: Option<String>,
    /// Who agreed.
    pub approval: Option<String>,
    /// What came of it.
    pub outcome: CallOutcome,
    /// The store's revision afterwards.
    pub revision: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The digest of the record before it, in hex; empty for the first.
    pub previous: String,
    /// SHA-256 of this record while this member is empty, in hex.
    pub digest: String,
}

/// The records of one gateway.
pub(super) struct Calls(Mutex<State>);

struct State {
    number: u64,
    digest: String,
    kept: VecDeque<CallRecord>,
    file: Option<LogFile>,
    complained: bool,
}

impl Calls {
    /// Goes on with what the folder holds. Without one, or where it can't be used, the newest records are kept in memory.
    pub(super) fn open(folder: Option<&Path>) -> Self {
        let mut state =
            State { number: 0, digest: String::new(), kept: VecDeque::new(), file: None, complained: false };
        match folder.map(LogFile::open).transpose() {
            Ok(Some((file, last))) => {
                if let Some(last) = last {
                    (state.number, state.digest) = (last.number, last.digest);
                }
                state.file = Some(file);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the calls of agents can't be kept in the data folder; the newest stay in memory")
            }
        }
        Self(Mutex::new(state))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, mut record: CallRecord) -> Result<(), ServiceError> {
        let mut state = self.lock();
        record.number = state.number + 1;
        record.previous.clone_from(&state.digest);
        record.digest = closing(&record)?;
        let line = encoded(&record)?;
        let State { number, digest, file, kept, complained } = &mut *state;
        if let Some(file) = file
            && let Err(error) = file.append(line)
        {
            // The chain goes on from the last record that is there.
            if !std::mem::replace(complained, true) {
                tracing::error!(%error, "a call of an agent could not be recorded; this is said once");
            }
            return Ok(());
        }
        *complained = false;
        (*number, *digest) = (record.number, record.digest.clone());
        if file.is_none() {
            if kept.len() >= MOST_IN_MEMORY {
                kept.pop_front();
            }
            kept.push_back(record);
        }
        Ok(())
    }

    /// Where the records lie, or all of them.
    fn place(&self) -> Result<PathBuf, Vec<CallRecord>> {
        let state = self.lock();
        match &state.file {
            Some(file) => Ok(file.folder().to_owned()),
            None => Err(state.kept.iter().cloned().collect()),
        }
    }

    async fn all(&self) -> Result<Vec<Result<CallRecord, String>>, ServiceError> {
        match self.place() {
            Err(kept) => Ok(kept.into_iter().map(Ok).collect()),
            Ok(folder) => {
                let read = tokio::task::spawn_blocking(move || log::read(&folder)).await;
                let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
                read.map_err(|error| {
                    ServiceError::Damaged(format!("the records of calls can't be read: {error}"))
                })
            }
        }
    }
}

impl Service {
    /// A keyed digest of what a tool is called with: equal arguments have equal ones, and nobody learns the arguments by it.
    #[must_use]
    pub fn call_digest(&self, arguments: &Map<String, Value>) -> String {
        self.parts.keyring.digest(&serde_json::to_string(arguments).unwrap_or_default())
    }

    /// Records a call of a tool. What can't be written is said in the log; the call has happened anyway.
    pub fn note_call(&self, who: &Principal, call: MadeCall<'_>) {
        let word = |text: Option<String>| text.map(|text| shortened(&text, MOST_WORD));
        let record = CallRecord {
            number: 0,
            unix_ms: unix_ms(),
            principal: who.name.clone(),
            role: who.role,
            door: who.door,
            client: word(call.client),
            conversation: word(call.conversation),
            tool: shortened(call.tool, MOST_WORD),
            arguments: call.arguments,
            plan: word(call.plan),
            risk: word(call.risk),
            approval: word(call.approval),
            outcome: call.outcome,
            revision: self.revision(),
            took_ms: u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX),
            previous: String::new(),
            digest: String::new(),
        };
        if let Err(error) = self.calls.add(record) {
            tracing::warn!(principal = %who.name, %error, "a call of an agent could not be recorded");
        }
    }

    /// The calls of tools that this gateway took, oldest first. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or they can't be read.
    pub async fn calls(&self, who: &Principal, query: AuditQuery) -> Result<Vec<CallRecord>, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let limit = if query.limit == 0 { USUAL } else { query.limit.min(MOST) };
        let records = self.calls.all().await?.into_iter().flatten();
        Ok(match query.after {
            Some(after) => records.filter(|record| record.number > after).take(limit).collect(),
            None => records.take(limit).collect(),
        })
    }

    /// Reads all records of calls and checks every link of their chain. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or they can't be read.
    pub async fn verify_calls(&self, who: &Principal) -> Result<AuditVerdict, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        Ok(verdict(&self.calls.all().await?))
    }
}

/// The digest that a record has to have.
fn closing(record: &CallRecord) -> Result<String, ServiceError> {
    let open = CallRecord { digest: String::new(), ..record.clone() };
    Ok(hex_digest(&encoded(&open)?))
}

/// Where older records were cut off, the chain begins with the first that is kept.
fn verdict(records: &[Result<CallRecord, String>]) -> AuditVerdict {
    let mut verdict = AuditVerdict { records: 0, first: None, last: None, broken: None };
    let mut before: Option<&CallRecord> = None;
    for record in records {
        let next = before.map_or(1, |before| before.number + 1);
        let record = match record {
            Ok(record) => record,
            Err(reason) => {
                verdict.broken = Some((next, reason.clone()));
                break;
            }
        };
        let follows = if closing(record).ok().as_ref() == Some(&record.digest) {
            let before = before.map(|before| (before.number, before.digest.as_str()));
            follows(before, record.number, &record.previous)
        } else {
            Err(ALTERED.to_owned())
        };
        if let Err(reason) = follows {
            verdict.broken = Some((record.number, reason));
            break;
        }
        verdict.records += 1;
        verdict.first.get_or_insert(record.number);
        verdict.last = Some(record.number);
        before = Some(record);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use usher_model::change::{Door, Role};

    use super::{CallOutcome, CallRecord, Calls, log, verdict};

    fn record(tool: &str) -> CallRecord {
        CallRecord {
            number: 0,
            unix_ms: 1,
            principal: "agent".into(),
            role: Role::Chat,
            door: Door::Mcp,
            client: None,
            conversation: None,
            tool: tool.into(),
            arguments: String::new(),
            plan: None,
            risk: None,
            approval: None,
            outcome: CallOutcome::Done,
            revision: 7,
            took_ms: 1,
            previous: String::new(),
            digest: String::new(),
        }
    }

    #[test]
    fn the_chain_goes_on_over_restarts_torn_lines_and_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        for start in 0..3 {
            let calls = Calls::open(Some(folder.path()));
            calls.add(record(&format!("one {start}"))).unwrap();
            calls.add(record("two")).unwrap();
            drop(calls);
            // A crash in the middle of a line.
            let path = folder.path().join(log::NAME);
            let mut text = std::fs::read_to_string(&path).unwrap();
            text.push_str("{\"number\": 3, \"uni");
            std::fs::write(&path, text).unwrap();
        }
        let found = |folder: &std::path::Path| verdict(&log::read(folder).unwrap());
        drop(Calls::open(Some(folder.path())));
        let whole = found(folder.path());
        assert_eq!((whole.records, whole.first, whole.last, whole.broken), (6, Some(1), Some(6), None));
        // As when it has grown too large.
        std::fs::rename(folder.path().join(log::NAME), folder.path().join(log::OLDER)).unwrap();
        Calls::open(Some(folder.path())).add(record("seven")).unwrap();
        assert_eq!((found(folder.path()).last, found(folder.path()).broken), (Some(7), None));
        std::fs::remove_file(folder.path().join(log::OLDER)).unwrap();
        let rest = found(folder.path());
        assert_eq!((rest.records, rest.first, rest.broken), (1, Some(7), None));
    }

    #[test]
    fn a_record_that_can_not_be_written_leaves_the_chain_whole() {
        let folder = tempfile::tempdir().unwrap();
        let calls = Calls::open(Some(folder.path()));
        // So large that the next one needs a new file, which something stands in the way of.
        calls.add(record(&"x".repeat(9 << 20))).unwrap();
        let older = folder.path().join(log::OLDER);
        std::fs::create_dir_all(older.join("in the way")).unwrap();
        calls.add(record("lost")).unwrap();
        std::fs::remove_dir_all(older).unwrap();
        calls.add(record("kept")).unwrap();
        let found = verdict(&log::read(folder.path()).unwrap());
        assert_eq!((found.records, found.last, found.broken), (2, Some(2), None));
    }

    #[test]
    fn whoever_alters_drops_or_slips_in_a_record_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let calls = Calls::open(Some(folder.path()));
        for tool in ["a", "b", "c"] {
            calls.add(record(tool)).unwrap();
        }
        let path = folder.path().join(log::NAME);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let found = |text: String| {
            std::fs::write(&path, text).unwrap();
            verdict(&log::read(folder.path()).unwrap()).broken.map(|(number, _)| number)
        };
        assert_eq!(found(text.clone()), None);
        assert_eq!(found(text.replace("\"tool\":\"b\"", "\"tool\":\"x\"")), Some(2));
        assert_eq!(found(format!("{}\n{}\n", lines[0], lines[2])), Some(3));
        assert_eq!(found(format!("{}\n{}\n{}\n", lines[0], lines[1], lines[1])), Some(2));
        assert_eq!(found(format!("{}\nno record\n", lines[0])), Some(2));
    }
}
