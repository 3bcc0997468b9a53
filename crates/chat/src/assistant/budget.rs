//! What the built-in chat may spend on a model: tokens and calls of tools, in one conversation and by one user on one day.
//!
//! A model that runs in a circle costs money, and nobody sees it before the bill. Tokens are those that the model's server counts; where it counts none,
//! four characters are taken for one.

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{ChatError, ModelError};

/// Users that a day's spending is kept of; who spent least goes first.
const MOST_USERS: usize = 10_000;
/// Seconds of a day.
const DAY: u64 = 86_400;
/// From which share of a bound on it is told, in percent.
const NEARLY: u64 = 80;

/// Bounds of one span; `None`: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Tokens, of questions and answers together.
    pub tokens: Option<u64>,
    /// Calls of tools.
    pub calls: Option<u64>,
}

/// What may be spent. Default: no bounds but those of one sentence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// In one conversation.
    pub conversation: Bounds,
    /// By one user within a day, from midnight to midnight UTC.
    pub day: Bounds,
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Tokens, of questions and answers together.
    pub tokens: u64,
    /// Calls of tools.
    pub calls: u64,
}

/// The purse of all users: what may be spent, and what was today.
#[derive(Debug, Default)]
pub struct Purse {
    budget: Budget,
    today: Mutex<Today>,
    file: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Today {
    /// Days since 1970.
    day: u64,
    users: HashMap<String, Spent>,
}

/// A bound that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reached(pub(super) String);

impl From<Reached> for ChatError {
    fn from(Reached(said): Reached) -> Self {
        ModelError::Spent { said }.into()
    }
}

/// What one conversation spends, of whose purse.
#[derive(Debug, Default)]
pub(super) struct Meter {
    purse: Arc<Purse>,
    user: String,
    spent: Mutex<Spent>,
    /// Tells after each sentence what was spent, not only where a bound is near.
    tells_all: bool,
}

impl Meter {
    pub(super) fn new(purse: Arc<Purse>, user: String, tells_all: bool) -> Self {
        Self { purse, user, spent: Mutex::default(), tells_all }
    }

    /// Says which bound is reached, if one is.
    pub(super) fn check(&self) -> Result<(), Reached> {
        self.purse.check(&self.user, self.spent())
    }

    /// A model was asked.
    pub(super) fn asked(&self, tokens: u64) {
        self.spend(Spent { tokens, calls: 0 });
    }

    /// A tool was called.
    pub(super) fn called(&self) {
        self.spend(Spent { tokens: 0, calls: 1 });
    }

    /// The end of a sentence: what was spent is kept, and told where that is wanted or a bound is near.
    pub(super) fn settle(&self) -> Option<String> {
        self.purse.keep();
        self.purse.told(&self.user, self.spent(), self.tells_all)
    }

    fn spend(&self, more: Spent) {
        self.purse.spend(&self.user, more);
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.tokens = spent.tokens.saturating_add(more.tokens);
        spent.calls = spent.calls.saturating_add(more.calls);
    }

    fn spent(&self) -> Spent {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Purse {
    /// One that forgets with the process.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// One that keeps what was spent today in a file, so that a restart gives nothing back. A file that can't be read counts as none, with a warning.
    #[must_use]
    pub fn kept_in(budget: Budget, file: PathBuf) -> Self {
        let today = match fs::read(&file) {
            Ok(bytes) => Today::read(&bytes).unwrap_or_else(|| {
                tracing::warn!(file = %file.display(), "what chats spent today can't be read and counts as nothing");
                Today::default()
            }),
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::warn!(file = %file.display(), %error, "what chats spent today can't be read and counts as nothing");
                }
                Today::default()
            }
        };
        Self { budget, today: Mutex::new(today), file: Some(file) }
    }

    /// Says which bound is reached, if one is. `conversation` is what this one spent.
    pub(super) fn check(&self, user: &str, conversation: Spent) -> Result<(), Reached> {
        let of_day = self.of_day(user);
        let spans = [
            ("this conversation", self.budget.conversation, conversation, "begin a new conversation"),
            ("you today", self.budget.day, of_day, "go on after midnight UTC"),
        ];
        for (whose, bounds, spent, next) in spans {
            for (what, bound, spent) in
                [("tokens", bounds.tokens, spent.tokens), ("calls of tools", bounds.calls, spent.calls)]
            {
                if let Some(bound) = bound.filter(|bound| spent >= *bound) {
                    return Err(Reached(format!(
                        "the budget of {bound} {what} for {whose} is spent ({spent}); {next}, or let an operator raise chat.model.budget"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Notes what was spent.
    pub(super) fn spend(&self, user: &str, more: Spent) {
        let mut today = self.lock();
        if today.users.len() >= MOST_USERS && !today.users.contains_key(user) {
            let least =
                today.users.iter().min_by_key(|(_, spent)| spent.tokens).map(|(user, _)| user.clone());
            least.and_then(|least| today.users.remove(&least));
        }
        let spent = today.users.entry(user.to_owned()).or_default();
        spent.tokens = spent.tokens.saturating_add(more.tokens);
        spent.calls = spent.calls.saturating_add(more.calls);
    }

    /// Writes what was spent today, where it is kept and a day has a bound.
    pub(super) fn keep(&self) {
        let Some(file) = self.file.as_ref().filter(|_| self.budget.day != Bounds::default()) else { return };
        let text = self.lock().text();
        if let Err(error) = replace(file, &text) {
            tracing::warn!(file = %file.display(), %error, "what chats spent today could not be written");
        }
    }

    /// What was spent of the bounds, in words: where one is nearly reached, or always with `all`.
    pub(super) fn told(&self, user: &str, conversation: Spent, all: bool) -> Option<String> {
        let of_day = self.of_day(user);
        let part = |spent: u64, bound: Option<u64>, what: &str| match bound {
            Some(bound) if all || is_near(spent, bound) => Some(format!("{spent} of {bound} {what}")),
            None if all => Some(format!("{spent} {what}")),
            _ => None,
        };
        let span = |spent: Spent, bounds: Bounds| -> Vec<String> {
            let parts = [
                part(spent.tokens, bounds.tokens, "tokens"),
                part(spent.calls, bounds.calls, "calls of tools"),
            ];
            parts.into_iter().flatten().collect()
        };
        let mut told = Vec::new();
        let parts = span(conversation, self.budget.conversation);
        if !parts.is_empty() {
            told.push(format!("this conversation: {}", parts.join(", ")));
        }
        let parts = span(of_day, self.budget.day);
        // Without a bound the day says nothing that the conversation doesn't.
        if !parts.is_empty() && self.budget.day != Bounds::default() {
            told.push(format!("today: {}", parts.join(", ")));
        }
        (!told.is_empty()).then(|| format!("(Spent: {})", told.join("; ")))
    }

    fn of_day(&self, user: &str) -> Spent {
        self.lock().users.get(user).copied().unwrap_or_default()
    }

    /// What was spent today; another day begins with nothing.
    fn lock(&self) -> MutexGuard<'_, Today> {
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        let now = day();
        if today.day != now {
            *today = Today { day: now, users: HashMap::new() };
        }
        today
    }
}

impl Today {
    fn read(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let day = value.get("day")?.as_u64()?;
        let mut users = HashMap::new();
        for (user, spent) in value.get("users")?.as_object()?.iter().take(MOST_USERS) {
            let number = |name: &str| spent.get(name).and_then(Value::as_u64);
            users.insert(user.clone(), Spent { tokens: number("tokens")?, calls: number("calls")? });
        }
        Some(Self { day, users })
    }

    fn text(&self) -> String {
        let users: Map<String, Value> = self
            .users
            .iter()
            .map(|(user, spent)| (user.clone(), json!({ "tokens": spent.tokens, "calls": spent.calls })))
            .collect();
        json!({ "day": self.day, "users": users }).to_string()
    }
}

/// The tokens that a text is taken for where nobody counts them.
pub(super) fn estimated(characters: usize) -> u64 {
    u64::try_from(characters.div_ceil(4)).unwrap_or(u64::MAX)
}

fn is_near(spent: u64, bound: u64) -> bool {
    spent.saturating_mul(100) >= bound.saturating_mul(NEARLY)
}

fn day() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY
}

/// Writes a file, for its owner alone, so that it is whole or the one before.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    let mut new = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    new.write_all(text.as_bytes())?;
    drop(new);
    fs::rename(beside, file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Bounds, Budget, Purse, Spent, day};

    const BOTH: Budget = Budget {
        conversation: Bounds { tokens: Some(100), calls: Some(5) },
        day: Bounds { tokens: Some(150), calls: None },
    };

    fn spent(tokens: u64, calls: u64) -> Spent {
        Spent { tokens, calls }
    }

    #[test]
    fn each_bound_is_named_when_it_is_reached() {
        let purse = Purse::new(BOTH);
        let said = |conversation| purse.check("jack", conversation).map_err(|reached| reached.0);
        assert_eq!(said(spent(99, 4)), Ok(()));
        assert!(said(spent(100, 0)).unwrap_err().contains("100 tokens for this conversation is spent"));
        assert!(said(spent(0, 5)).unwrap_err().contains("5 calls of tools for this conversation"));
        purse.spend("jack", spent(150, 1));
        assert!(said(spent(0, 0)).unwrap_err().contains("150 tokens for you today is spent"));
        assert_eq!(purse.check("mary", spent(0, 0)), Ok(()), "everybody has a day of their own");
        assert_eq!(Purse::default().check("jack", spent(u64::MAX, u64::MAX)), Ok(()), "no bounds by default");
    }

    #[test]
    fn it_is_told_when_a_bound_is_near_or_when_all_is_asked_for() {
        let purse = Purse::new(BOTH);
        purse.spend("jack", spent(79, 1));
        assert_eq!(purse.told("jack", spent(79, 1), false), None);
        assert_eq!(
            purse.told("jack", spent(80, 1), false).unwrap(),
            "(Spent: this conversation: 80 of 100 tokens)"
        );
        assert_eq!(
            purse.told("jack", spent(79, 1), true).unwrap(),
            "(Spent: this conversation: 79 of 100 tokens, 1 of 5 calls of tools; today: 79 of 150 tokens, 1 calls of tools)"
        );
        assert_eq!(
            Purse::default().told("jack", spent(7, 1), true).unwrap(),
            "(Spent: this conversation: 7 tokens, 1 calls of tools)"
        );
    }

    #[test]
    fn a_restart_gives_nothing_back_and_another_day_everything() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chat-spent.json");
        let purse = Purse::kept_in(BOTH, file.clone());
        purse.spend("jack", spent(150, 2));
        purse.keep();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "who spends what is the operator's to know");
        assert!(Purse::kept_in(BOTH, file.clone()).check("jack", spent(0, 0)).is_err());
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(&day().to_string(), &(day() - 1).to_string())).unwrap();
        assert!(Purse::kept_in(BOTH, file.clone()).check("jack", spent(0, 0)).is_ok());
        std::fs::write(&file, "torn").unwrap();
        assert!(Purse::kept_in(BOTH, file).check("jack", spent(0, 0)).is_ok());
    }
}
