//! `gateway_plan` and `gateway_undo`: what is wanted becomes a checked plan, told field by field. Nothing is changed.

mod wanted;

use serde_json::json;
use usher_admin::service::{Plan, Wanted};
use usher_model::change::Change;
use usher_model::diff::diff;

use super::arguments::Arguments;
use super::refusal::Refusal;
use super::text::{clean, clean_lines};
use super::{Answer, Call, MOST_ITEMS};

/// Characters of a plan's text in an answer.
pub(super) const MOST_TEXT: usize = 12_000;
/// Characters of an intent; more the history doesn't keep.
const MOST_INTENT: usize = 500;
/// Fields that are named in one line of the history.
const NAMED: usize = 4;

impl Call<'_> {
    pub(super) async fn plan(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let (edits, expect) = self.edits(arguments.list("changes")).await?;
        let wanted = Wanted { edits, expect, intent: intent(arguments), ..Wanted::default() };
        let plan = self.service.plan(self.who, wanted).await.map_err(|error| self.refuse(error))?;
        Ok(told(&plan))
    }

    pub(super) async fn undo(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let revision = arguments.whole_or_null("revision")?;
        let plan = self.service.plan_undo(self.who, revision, intent(arguments)).await;
        Ok(told(&plan.map_err(|error| self.refuse(error))?))
    }
}

fn intent(arguments: &Arguments) -> Option<String> {
    arguments
        .text_or_null("intent")
        .map(|intent| clean(intent, MOST_INTENT))
        .filter(|intent| !intent.trim().is_empty())
}

/// A plan as the tools answer it.
fn told(plan: &Plan) -> Answer {
    let affected: Vec<String> = capped(&plan.affected);
    let warnings: Vec<String> = capped(&plan.warnings);
    let shown = clean_lines(&plan.text(), MOST_TEXT);
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
    Answer { text, structured }
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

/// A set of changes in one line, with the fields that changed.
pub(super) fn summary(changes: &[Change]) -> String {
    let mut parts: Vec<String> = changes.iter().take(NAMED).map(told_briefly).collect();
    if changes.len() > NAMED {
        parts.push(format!("{} more", changes.len() - NAMED));
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
