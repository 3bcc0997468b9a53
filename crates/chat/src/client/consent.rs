//! How a question of the server reaches the person, once.
//!
//! The assistant shows a plan and asks before it applies; the server may then ask about that very plan again, because it trusts no client's
//! word for it. Plans are immutable, so the answer that was given holds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::ClientHandler;
use rmcp::ErrorData;
use rmcp::model::{
    ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction,
    ElicitationCapability, FormElicitationCapability, Implementation, ProtocolVersion,
};
use rmcp::service::{RequestContext, RoleClient};
use serde_json::json;

use super::Person;

/// The person, and what was said to the plan that was asked about last.
pub(super) struct Consent {
    person: Arc<dyn Person>,
    answered: Mutex<Option<(String, bool)>>,
    asking: AtomicUsize,
}

impl Consent {
    pub(super) fn new(person: Arc<dyn Person>) -> Self {
        Self { person, answered: Mutex::new(None), asking: AtomicUsize::new(0) }
    }

    /// Whether a question is open.
    pub(super) fn is_asking(&self) -> bool {
        self.asking.load(Ordering::Acquire) > 0
    }

    /// Asks on a thread that may block. A person who can't be asked has not agreed.
    pub(super) async fn ask(&self, question: String) -> bool {
        let person = Arc::clone(&self.person);
        let _asking = Asking::start(&self.asking);
        tokio::task::spawn_blocking(move || person.confirm(&question)).await.unwrap_or(false)
    }

    fn set(&self, answer: Option<(String, bool)>) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// What was answered, where this question is about the plan that the answer was for. It holds for one question.
    fn answer_to(&self, question: &str) -> Option<bool> {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        // A plan's text begins with its id; what follows may hold names that others have chosen.
        let first = question.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        answered.take_if(|(plan, _)| first.split_whitespace().any(|word| word == plan)).map(|(_, yes)| yes)
    }
}

/// Counts an open question, also when whoever asked goes away.
struct Asking<'a>(&'a AtomicUsize);

impl<'a> Asking<'a> {
    fn start(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// For as long as it lives, the question about one plan counts as answered.
pub(super) struct Answered<'a>(&'a Consent);

impl<'a> Answered<'a> {
    pub(super) fn yes(consent: &'a Consent, plan: &str) -> Self {
        consent.set(Some((plan.to_owned(), true)));
        Self(consent)
    }

    pub(super) fn no(consent: &'a Consent, plan: &str) -> Self {
        consent.set(Some((plan.to_owned(), false)));
        Self(consent)
    }
}

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// What the server sees of this client.
pub(super) struct Handler {
    consent: Arc<Consent>,
}

impl Handler {
    pub(super) const fn new(consent: Arc<Consent>) -> Self {
        Self { consent }
    }
}

impl ClientHandler for Handler {
    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        // Only forms were declared: an address to open in a browser is refused.
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else {
            return Ok(ElicitResult::new(ElicitationAction::Decline));
        };
        let agreed = match self.consent.answer_to(&message) {
            Some(answer) => answer,
            None => self.consent.ask(format!("{}\nApply this plan?", message.trim_end())).await,
        };
        Ok(if agreed {
            ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "agree": true }))
        } else {
            ElicitResult::new(ElicitationAction::Decline)
        })
    }

    fn get_info(&self) -> ClientConfig {
        let elicitation = ElicitationCapability::new().with_form(FormElicitationCapability::new());
        let capabilities = ClientCapabilities::builder().enable_elicitation_with(elicitation).build();
        ClientConfig::new(capabilities, Implementation::new("usher-chat", env!("CARGO_PKG_VERSION")))
            // The newest revision with a greeting: there a question reaches the person while the call is open.
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Answered, Consent, Person};

    struct Nobody;

    impl Person for Nobody {
        fn confirm(&self, _: &str) -> bool {
            panic!("a plan that was agreed to is not asked about")
        }
    }

    #[test]
    fn one_answer_holds_for_one_question_about_that_plan() {
        let consent = Consent::new(Arc::new(Nobody));
        for (said, answered) in [(true, Answered::yes as fn(_, _) -> _), (false, Answered::no)] {
            let answer = answered(&consent, "3f9c2a");
            let other = consent.answer_to("plan 77aa01  risk high\n- route 3f9c2a");
            assert_eq!(other, None, "another plan that names the id below");
            assert_eq!(consent.answer_to("plan 3f9c2a  risk high\n- route x"), Some(said));
            assert_eq!(consent.answer_to("plan 3f9c2a  risk high\n- route x"), None, "a second question");
            drop(answer);
            drop(answered(&consent, "3f9c2a"));
            assert_eq!(consent.answer_to("plan 3f9c2a  risk high"), None, "after the call");
        }
    }

    #[tokio::test]
    async fn a_person_who_can_not_be_asked_has_not_agreed() {
        assert!(!Consent::new(Arc::new(Nobody)).ask("well?".to_owned()).await);
    }
}
