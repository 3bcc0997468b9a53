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

/// The person, and the plan that was agreed to last.
pub(super) struct Consent {
    person: Arc<dyn Person>,
    agreed: Mutex<Option<String>>,
    asking: AtomicUsize,
}

impl Consent {
    pub(super) fn new(person: Arc<dyn Person>) -> Self {
        Self { person, agreed: Mutex::new(None), asking: AtomicUsize::new(0) }
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

    fn set(&self, plan: Option<String>) {
        *self.agreed.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    /// Whether this question is about the plan that was agreed to. An answer holds for one question.
    fn covers(&self, question: &str) -> bool {
        let mut agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        // A plan's text begins with its id; what follows may hold names that others have chosen.
        let first = question.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let named = agreed.as_ref().is_some_and(|plan| first.split_whitespace().any(|word| word == plan));
        if named {
            *agreed = None;
        }
        named
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

/// For as long as it lives, one plan counts as agreed to.
pub(super) struct Agreed<'a>(&'a Consent);

impl<'a> Agreed<'a> {
    pub(super) fn to(consent: &'a Consent, plan: &str) -> Self {
        consent.set(Some(plan.to_owned()));
        Self(consent)
    }
}

impl Drop for Agreed<'_> {
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
        let agreed = self.consent.covers(&message)
            || self.consent.ask(format!("{}\nApply this plan?", message.trim_end())).await;
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

    use super::{Agreed, Consent, Person};

    struct Nobody;

    impl Person for Nobody {
        fn confirm(&self, _: &str) -> bool {
            panic!("a plan that was agreed to is not asked about")
        }
    }

    #[test]
    fn one_agreement_answers_one_question_about_that_plan() {
        let consent = Consent::new(Arc::new(Nobody));
        let agreed = Agreed::to(&consent, "3f9c2a");
        assert!(
            !consent.covers("plan 77aa01  risk high\n- route 3f9c2a"),
            "another plan that names the id below"
        );
        assert!(consent.covers("plan 3f9c2a  risk high\n- route x"));
        assert!(!consent.covers("plan 3f9c2a  risk high\n- route x"), "a second question");
        drop(agreed);
        let agreed = Agreed::to(&consent, "3f9c2a");
        drop(agreed);
        assert!(!consent.covers("plan 3f9c2a  risk high"), "after the call");
    }

    #[tokio::test]
    async fn a_person_who_can_not_be_asked_has_not_agreed() {
        assert!(!Consent::new(Arc::new(Nobody)).ask("well?".to_owned()).await);
    }
}
