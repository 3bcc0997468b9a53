//! How fast one caller may call: so many calls, plans and applied plans a minute, and not the same failing call again and again.
//!
//! A model that runs in a circle costs its owner money and everybody else their turn, and notices a refusal that says so.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use usher_model::change::Principal;

use super::refusal::Refusal;
use crate::catalogue;

/// How long calls are counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// Callers that are remembered; those that were quiet for a window go first.
const MOST_CALLERS: usize = 10_000;
/// How long a failure is remembered.
const REMEMBERED: Duration = Duration::from_secs(300);
/// How often one call may fail in the same way, one time behind the other, before it isn't made any more.
const SAME_FAILURES: u32 = 4;

/// What one caller may do within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls of tools that neither plan nor apply. Default 600.
    pub calls: u32,
    /// Plans that are made. Default 120.
    pub plans: u32,
    /// Plans that are applied. Default 60.
    pub applies: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 600, plans: 120, applies: 60 }
    }
}

/// The callers' counts.
pub(super) struct Pace {
    limits: Limits,
    callers: Mutex<HashMap<String, Caller>>,
}

struct Caller {
    begun: Instant,
    calls: u32,
    plans: u32,
    applies: u32,
    failed: Option<Failed>,
}

/// The call that failed last.
struct Failed {
    tool: String,
    arguments: String,
    revision: u64,
    /// How often, one time behind the other.
    times: u32,
    at: Instant,
}

impl Failed {
    fn is(&self, wanted: &Wanted<'_>, now: Instant) -> bool {
        self.tool == named(wanted)
            && self.arguments == wanted.arguments
            && self.revision == wanted.revision
            && now - self.at < REMEMBERED
    }
}

/// A call as it is told apart from others.
pub(super) struct Wanted<'a> {
    pub(super) tool: &'a str,
    /// A digest of what it is called with: this is kept, and the arguments may be long.
    pub(super) arguments: &'a str,
    /// The store's revision: a call that failed may succeed once something has changed.
    pub(super) revision: u64,
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, callers: Mutex::default() }
    }

    /// Counts a call, unless it is one too many.
    pub(super) fn admit(&self, who: &Principal, wanted: &Wanted<'_>) -> Result<(), Refusal> {
        let now = Instant::now();
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MOST_CALLERS {
            callers.retain(|_, caller| now - caller.begun < WINDOW);
        }
        let caller = callers.entry(key(who)).or_insert_with(|| Caller::new(now));
        if now - caller.begun >= WINDOW {
            *caller = Caller { failed: caller.failed.take(), ..Caller::new(now) };
        }
        if let Some(Failed { times, .. }) =
            caller.failed.as_ref().filter(|failed| failed.times >= SAME_FAILURES && failed.is(wanted, now))
        {
            return Err(Refusal::new(format!(
                "this very call has failed {times} times, and nothing has changed since: it is not made again"
            ))
            .next("read what the refusal before said, and call with other arguments; or tell the person what is missing"));
        }
        let (count, most, what) = match wanted.tool {
            "gateway_plan" | "gateway_import_openapi" | "gateway_undo" => {
                (&mut caller.plans, self.limits.plans, "plans made")
            }
            "gateway_apply" => (&mut caller.applies, self.limits.applies, "plans applied"),
            _ => (&mut caller.calls, self.limits.calls, "calls"),
        };
        if *count >= most {
            let left = (WINDOW - (now - caller.begun)).as_secs().max(1);
            return Err(Refusal::new(format!("more than {most} {what} within a minute"))
                .next(format!("call again in {left} s; several changes fit into one plan")));
        }
        *count += 1;
        Ok(())
    }

    /// Remembers how a call ended.
    pub(super) fn settle(&self, who: &Principal, wanted: &Wanted<'_>, is_refused: bool) {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(caller) = callers.get_mut(&key(who)) else { return };
        let now = Instant::now();
        let before = caller.failed.take().filter(|failed| failed.is(wanted, now));
        caller.failed = is_refused.then(|| Failed {
            tool: named(wanted).to_owned(),
            arguments: wanted.arguments.to_owned(),
            revision: wanted.revision,
            times: before.map_or(0, |failed| failed.times) + 1,
            at: now,
        });
    }
}

impl Caller {
    const fn new(begun: Instant) -> Self {
        Self { begun, calls: 0, plans: 0, applies: 0, failed: None }
    }
}

/// The tool's name, where there is such a tool: a caller may write anything.
fn named<'a>(wanted: &Wanted<'a>) -> &'a str {
    catalogue::find(wanted.tool).map_or("", |tool| tool.name)
}

fn key(who: &Principal) -> String {
    format!("{} {}", who.door, who.name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use usher_model::change::{Door, Principal, Role};

    use super::{Limits, Pace, REMEMBERED, WINDOW, Wanted};

    fn wanted<'a>(tool: &'a str, arguments: &'a str, revision: u64) -> Wanted<'a> {
        Wanted { tool, arguments, revision }
    }

    #[tokio::test(start_paused = true)]
    async fn each_caller_has_a_minute_of_their_own() {
        let pace = Pace::new(Limits { calls: 3, plans: 2, applies: 1 });
        let [one, other] = ["one", "other"].map(|name| Principal::new(name, Role::Chat, Door::Mcp));
        let admitted = |who: &Principal, tool: &str| {
            (0..5).take_while(|_| pace.admit(who, &wanted(tool, "", 0)).is_ok()).count()
        };
        for (tool, most) in [("gateway_find", 3), ("gateway_plan", 2), ("gateway_apply", 1)] {
            assert_eq!(admitted(&one, tool), most, "{tool}");
        }
        assert_eq!(admitted(&one, "gateway_undo"), 0, "an undo makes a plan");
        assert_eq!(admitted(&other, "gateway_find"), 3);
        tokio::time::advance(WINDOW + Duration::from_secs(1)).await;
        assert_eq!(admitted(&one, "gateway_find"), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_four_times_in_a_row_is_not_tried_until_something_changes() {
        let pace = Pace::new(Limits::default());
        let who = Principal::new("looping", Role::Chat, Door::Mcp);
        let fails = |arguments: &str, revision: u64| {
            let call = wanted("gateway_plan", arguments, revision);
            pace.admit(&who, &call).map(|()| pace.settle(&who, &call, true)).is_ok()
        };
        assert_eq!((0..9).take_while(|_| fails("a", 1)).count(), 4);
        assert!(fails("a", 2), "somebody changed something");
        assert!(fails("b", 2) && fails("a", 2), "the row was broken");
        let good = wanted("gateway_plan", "a", 2);
        pace.settle(&who, &good, false);
        assert_eq!((0..9).take_while(|_| fails("a", 2)).count(), 4);
        tokio::time::advance(REMEMBERED).await;
        assert!(fails("a", 2), "it is forgotten");
    }
}
