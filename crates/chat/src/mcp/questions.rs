//! Questions to people that a client went away with: each has a handle that is good once, for whoever was asked and for what they were asked about.
//!
//! What a client brings back is hostile: a handle is random, says nothing, and counts only while the server itself remembers the question.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use usher_model::change::Principal;

/// How long a person may think, and how long an asked question can be answered.
pub(super) const THINKING: Duration = Duration::from_secs(5 * 60);
/// Questions open at the same time.
pub(super) const OPEN: usize = 64;
/// Questions open at the same time for one principal; the oldest makes room, so that one can't take all the room of the others.
const OPEN_EACH: usize = 8;

/// The questions that are open.
#[derive(Default)]
pub(super) struct Questions {
    open: Mutex<HashMap<String, Question>>,
}

struct Question {
    who: Principal,
    about: String,
    at: Instant,
}

impl Questions {
    /// Opens a question, and gives its handle; `None` where too many are open.
    pub(super) fn ask(&self, who: &Principal, about: &str) -> Option<String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, question| question.at.elapsed() < THINKING);
        let own = || open.iter().filter(|(_, question)| question.who == *who);
        if own().count() >= OPEN_EACH {
            let oldest = own().min_by_key(|(_, question)| question.at).map(|(handle, _)| handle.clone());
            oldest.and_then(|handle| open.remove(&handle));
        }
        if open.len() >= OPEN {
            return None;
        }
        let handle = uuid::Uuid::new_v4().simple().to_string();
        open.insert(
            handle.clone(),
            Question { who: who.clone(), about: about.to_owned(), at: Instant::now() },
        );
        Some(handle)
    }

    /// Closes the question of this handle. Whether it was open, asked of this principal, and about this; a try with a wrong one uses it up too.
    pub(super) fn close(&self, handle: &str, who: &Principal, about: &str) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(handle).is_some_and(|question| {
            question.at.elapsed() < THINKING && question.who == *who && question.about == about
        })
    }
}

#[cfg(test)]
mod tests {
    use usher_model::change::{Door, Principal, Role};

    use super::{OPEN, OPEN_EACH, Questions};

    fn named(name: &str) -> Principal {
        Principal::new(name, Role::Chat, Door::Mcp)
    }

    #[test]
    fn a_handle_is_good_once_for_its_principal_and_its_plan() {
        let (jack, jill) = (named("jack"), named("jill"));
        let questions = Questions::default();
        let handle = || questions.ask(&jack, "plan").unwrap();
        let (once, other_plan, other_person) = (handle(), handle(), handle());
        assert!(questions.close(&once, &jack, "plan"));
        assert!(!questions.close(&once, &jack, "plan"), "it is used up");
        assert!(!questions.close(&other_plan, &jack, "another plan"));
        assert!(!questions.close(&other_plan, &jack, "plan"), "the wrong try used it up");
        assert!(!questions.close(&other_person, &jill, "plan"));
        assert!(!questions.close("", &jack, "plan"));
    }

    #[test]
    fn nobody_takes_all_the_room() {
        let questions = Questions::default();
        let greedy = named("greedy");
        let first = questions.ask(&greedy, "plan").unwrap();
        for _ in 0..OPEN * 2 {
            assert!(questions.ask(&greedy, "plan").is_some(), "its own oldest makes room");
        }
        assert!(!questions.close(&first, &greedy, "plan"), "the oldest has gone");
        let others = (0..).take_while(|n| questions.ask(&named(&format!("p{n}")), "plan").is_some()).count();
        assert_eq!(others, OPEN - OPEN_EACH, "the room is bounded for all together");
    }
}
