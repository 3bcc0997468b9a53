//! `gateway_apply`: makes a plan real. Who agreed is settled before, at the door; whether that is enough is the service's say.

use serde_json::json;
use usher_admin::service::{Approval, ServiceError};

use super::arguments::Arguments;
use super::plan::headline;
use super::refusal::Refusal;
use super::text::clean;
use super::{Answer, Call, MOST_ITEMS};

/// Who agreed to a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// Only the client, by calling the tool.
    Client,
    /// A person was asked and said yes; how.
    Person(String),
}

impl Call<'_> {
    pub(super) async fn apply(&self, arguments: &Arguments, agreement: Agreement) -> Result<Answer, Refusal> {
        let approval = match agreement {
            Agreement::Client => Approval::Client,
            Agreement::Person(how) => Approval::Person(how),
        };
        let plan = arguments.text("plan_id");
        let applied = match self.service.apply(self.who, plan, approval).await {
            Ok(applied) => applied,
            Err(error @ (ServiceError::Stale { .. } | ServiceError::Conflict(_))) => {
                return Err(match self.asked.take(plan) {
                    Some(wish) => self.plan_again(&error, wish).await,
                    None => self.refuse(error),
                });
            }
            Err(error) => return Err(self.refuse(error)),
        };
        self.asked.take(plan);
        let mut lines: Vec<String> = applied.changes.iter().take(MOST_ITEMS).map(headline).collect();
        let rest = applied.changes.len().saturating_sub(lines.len());
        if rest > 0 {
            lines.push(format!("and {rest} more"));
        }
        let warnings: Vec<String> =
            applied.warnings.iter().take(MOST_ITEMS).map(|warning| clean(warning, 300)).collect();
        let force = if applied.in_force { "in force" } else { "stored, but not in force yet;" };
        let mut text = format!("applied, {force} since revision {}\n{}", applied.revision, lines.join("\n"));
        for warning in &warnings {
            text.push_str(&format!("\nwarning: {warning}"));
        }
        text.push_str("\nnext: gateway_probe to verify; gateway_undo takes it back");
        let structured = json!({
            "revision": applied.revision, "in_force": applied.in_force, "applied": lines, "warnings": warnings,
        });
        Ok(Answer { text, structured })
    }
}
