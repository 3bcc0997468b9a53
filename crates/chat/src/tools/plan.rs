//! `gateway_plan` and `gateway_undo`: what is wanted becomes a checked plan, told field by field. Nothing is changed.

mod names;
mod wanted;

use serde_json::{Value, json};
use usher_admin::service::{Plan, ServiceError, Wanted};
use usher_model::change::{Change, Edit};
use usher_model::diff::diff;
use usher_model::openapi::Publish;

use super::arguments::Arguments;
use super::asked::Wish;
use super::refusal::Refusal;
use super::repair;
use super::text::{clean, clean_lines};
use super::{Answer, Call, MOST_ITEMS};

/// Bytes of a plan's text, and of the lists beside it, in an answer: with addresses, which are dearest, about 6,000 tokens. A longer plan isn't
/// cut: nobody can agree to what they don't see.
const MOST_TEXT: usize = 9_500;
/// Characters of an intent; more the history doesn't keep.
const MOST_INTENT: usize = 500;
/// Fields that are named in one line of the history.
const NAMED: usize = 4;

impl Call<'_> {
    pub(super) async fn plan(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let changes = arguments.list("changes");
        let plan = self.make(changes, intent(arguments)).await?;
        let answer = told(&plan)?;
        self.asked.keep(&plan.id, changes, intent(arguments));
        Ok(answer)
    }

    /// A plan of these changes.
    async fn make(&self, changes: &[Value], intent: Option<String>) -> Result<Plan, Refusal> {
        let (edits, expect) = self.edits(changes).await?;
        let wanted = Wanted { edits: edits.clone(), expect, intent, ..Wanted::default() };
        match self.service.plan(self.who, wanted).await {
            Ok(plan) => Ok(plan),
            Err(error) => Err(self.repairable(error, &edits).await?),
        }
    }

    /// The refusal of a plan that went stale, with the same wish planned against what is there now.
    pub(super) async fn plan_again(&self, error: &ServiceError, wish: Wish) -> Refusal {
        let sentence = clean_lines(&error.to_string(), 2_000);
        let fresh = match self.make(&wish.changes, wish.intent.clone()).await {
            Ok(fresh) => fresh,
            Err(why) => {
                return Refusal::new(format!("{sentence}\nthe same change can't be planned any more: {why}"));
            }
        };
        self.asked.keep(&fresh.id, &wish.changes, wish.intent);
        stale(sentence, &fresh)
    }

    /// A refusal with what is allowed at the place that is to blame.
    async fn repairable(&self, error: ServiceError, edits: &[Edit]) -> Result<Refusal, Refusal> {
        let ServiceError::Invalid { sentence, key: Some(key), pointer, .. } = &error else {
            return Ok(self.refuse(error));
        };
        let (sentence, key, pointer) = (sentence.clone(), key.clone(), pointer.clone());
        let refusal = self.refuse(error);
        let Some(value) = names::after(edits, &key) else { return Ok(refusal) };
        if sentence.starts_with("failed to fetch") {
            return self.lost(refusal, value, &pointer).await;
        }
        let hint = repair::hint(self.service.registry(), &key, value, &sentence, &pointer);
        Ok(refusal.hinted(&key, hint))
    }

    pub(super) async fn undo(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let revision = arguments.whole_or_null("revision")?;
        let plan = self.service.plan_undo(self.who, revision, intent(arguments)).await;
        told(&plan.map_err(|error| self.refuse(error))?)
    }
}

impl Call<'_> {
    /// A plan that publishes an API.
    pub(super) async fn import_openapi(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let document = usher_model::document::value(arguments.text("document")).map_err(|error| {
            Refusal::new(format!(
                "the OpenAPI document can't be read: {}",
                clean_lines(&error.to_string(), 500)
            ))
            .at("/document")
            .allowed("the text of an OpenAPI document in YAML or JSON")
        })?;
        let text =
            |name: &str| arguments.text_or_null(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let wish =
            Publish { prefix: text("prefix"), id: text("id"), server: text("server"), ..Publish::default() };
        let made = self.service.plan_openapi(self.who, &document, &wish, intent(arguments)).await;
        let (plan, published) = made.map_err(|error| self.refuse(error))?;
        told(&plan).map_err(|refusal| {
            refusal.next(format!(
                "the API has {} operations; the person can import the file with `usher import --openapi FILE`, which shows the plan and asks",
                published.operations
            ))
        })
    }
}

fn intent(arguments: &Arguments) -> Option<String> {
    arguments
        .text_or_null("intent")
        .map(|intent| clean(intent, MOST_INTENT))
        .filter(|intent| !intent.trim().is_empty())
}

/// A plan as the tools answer it.
fn told(plan: &Plan) -> Result<Answer, Refusal> {
    let shown = shown(plan).ok_or_else(|| {
        let changes = plan.changes.len();
        let refusal = Refusal::new(format!(
            "the plan is too long to be shown whole: {changes} changed objects in more than {MOST_TEXT} bytes of text"
        ));
        refusal.next(if changes > 1 && plan.undoes.is_none() {
            "split it into smaller plans"
        } else {
            "change it in smaller steps, or let the person do it on the Admin API"
        })
    })?;
    let affected: Vec<String> = capped(&plan.affected);
    let warnings: Vec<String> = capped(&plan.warnings);
    let next = if plan.needs_person {
        "needs a person: gateway_apply asks them through the client"
    } else {
        "next: show this to the person; when they agree, gateway_apply"
    };
    let text = format!("{shown}\n{next} {{\"plan_id\":\"{}\"}}, within {} s", plan.id, plan.expires_in_secs);
    let structured = json!({
        "plan_id": plan.id, "risk": plan.risk.to_string(), "needs_person": plan.needs_person, "text": shown, "affected": affected,
        "warnings": warnings, "expires_in_secs": plan.expires_in_secs,
    });
    Ok(Answer { text, structured })
}

/// A plan's text, where it and what stands beside it aren't too long for one answer.
fn shown(plan: &Plan) -> Option<String> {
    let text = clean_lines(&plan.text(), usize::MAX);
    let beside = capped(&plan.affected).into_iter().chain(capped(&plan.warnings));
    let bytes = text.len() + beside.map(|line| line.len()).sum::<usize>();
    (bytes <= MOST_TEXT).then_some(text)
}

/// The refusal of a plan that somebody was faster than, with the plan to apply instead.
pub(super) fn stale(sentence: impl Into<String>, fresh: &Plan) -> Refusal {
    let refusal = Refusal::new(sentence);
    match shown(fresh) {
        Some(text) => refusal.next(format!(
            "nothing was applied; show the person this new plan, and when they agree gateway_apply {{\"plan_id\":\"{}\"}}\n{text}",
            fresh.id
        )),
        None => refusal.next("nothing was applied; gateway_plan again, in smaller plans"),
    }
}

fn capped(lines: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = lines.iter().take(MOST_ITEMS).map(|line| clean(line, 200)).collect();
    if lines.len() > MOST_ITEMS {
        shown.push(format!("and {} more", lines.len() - MOST_ITEMS));
    }
    shown
}

/// One change without its fields: `+` made, `~` changed, `-` deleted.
pub(super) fn headline(change: &Change) -> String {
    let sign = match (&change.before, &change.after) {
        (None, _) => '+',
        (Some(_), Some(_)) => '~',
        (Some(_), None) => '-',
    };
    clean(&format!("{sign} {}", change.key), 200)
}

/// A set of changes in one line, with the fields that changed: the first of them, and how many there were.
pub(super) fn summary(changes: &[Change], total: usize) -> String {
    let mut parts: Vec<String> = changes.iter().take(NAMED).map(told_briefly).collect();
    if total > NAMED {
        parts.push(format!("{} more", total - NAMED));
    }
    parts.join("; ")
}

fn told_briefly(change: &Change) -> String {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return headline(change) };
    let fields = diff(Some(before), Some(after));
    let mut paths: Vec<String> =
        fields.iter().map(|field| clean(&field.path, 80)).filter(|path| path != "update_time").collect();
    let rest = paths.len().saturating_sub(NAMED);
    paths.truncate(NAMED);
    if rest > 0 {
        paths.push(format!("{rest} more"));
    }
    format!("{}: {}", headline(change), paths.join(", "))
}
