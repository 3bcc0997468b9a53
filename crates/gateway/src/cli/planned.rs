//! A plan from a running Usher: shown, agreed to, applied, and told of.

use std::io::IsTerminal as _;

use clap::Args;
use serde_json::{Value, json};

use super::ask;
use super::failure::{Code, Failure};
use super::output::{self, Format, clean, clean_lines};
use super::remote::Client;
use crate::terminal::{Style, say};

/// Changes of a plan that is too long to be shown whole.
const SHOWN: usize = 20;
/// How often a plan that went stale is planned anew and asked about again.
const TRIES: usize = 5;

/// What is done with a plan.
#[derive(Args, Clone, Debug)]
pub(crate) struct Consent {
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Agree beforehand, for scripts
    #[arg(long, short)]
    yes: bool,
    /// Where the store can't take it in one transaction: step by step, each in the history, the whole undoable
    #[arg(long)]
    in_steps: bool,
    /// How the outcome is shown
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Table)]
    output: Format,
}

impl Consent {
    /// Shows a plan, asks unless told not to, and applies it.
    ///
    /// # Errors
    /// [`Failure`]: nobody agreed, or it was refused.
    pub(crate) async fn carry_out(&self, client: &Client, plan: Value) -> anyhow::Result<()> {
        let style = Style::detect();
        if self.dry_run {
            return self.show_only(&plan, style);
        }
        let mut plan = plan;
        for _ in 0..TRIES {
            if self.output == Format::Table {
                say(&text(&plan, style))?;
            }
            self.agree(&plan, style)?;
            match self.apply(client, &plan).await? {
                Ok(applied) => return self.tell(&applied, style),
                Err((failure, body)) => match body.get("plan") {
                    // Whoever agreed, agreed to the plan that they saw.
                    Some(fresh) if !self.yes && ask::is_anybody_here() => {
                        say(&style.bold("somebody changed this meanwhile; this is the plan now:"))?;
                        plan = fresh.clone();
                    }
                    Some(_) => {
                        return Err(failure
                            .next("look at what changed (usher history), and run it again")
                            .into());
                    }
                    None => return Err(failure.into()),
                },
            }
        }
        Err(Failure::new(Code::Conflict, "the objects are changed faster than this can be agreed to").into())
    }

    /// Goes on with a plan whose steps were not all applied: it was agreed to when it was begun.
    ///
    /// # Errors
    /// [`Failure`]: there is no such plan, or a step was refused.
    pub(crate) async fn go_on(&self, client: &Client, plan: &str) -> anyhow::Result<()> {
        if self.dry_run {
            return show_unfinished(client, plan).await;
        }
        let applied = client.post(&["plans", plan, "apply"], &json!({ "in_steps": true })).await?;
        self.tell(&applied, Style::detect())
    }

    /// Gives up what is still to do of such a plan.
    ///
    /// # Errors
    /// [`Failure`]: there is no such plan, or it is somebody else's.
    pub(crate) async fn give_up(&self, client: &Client, plan: &str) -> anyhow::Result<()> {
        if self.dry_run {
            return show_unfinished(client, plan).await;
        }
        client.delete(&["unfinished", plan]).await?;
        say(&format!("what was still to do of plan {} is given up; what was applied stays", clean(plan)))
    }

    fn show_only(&self, plan: &Value, style: Style) -> anyhow::Result<()> {
        match self.output {
            Format::Table => {
                say(&text(plan, style))?;
                say(&style.dim("nothing was changed: this was a dry run"))
            }
            other => output::print(plan, other),
        }
    }

    fn agree(&self, plan: &Value, style: Style) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !ask::is_anybody_here() {
            return Err(Failure::new(
                Code::Declined,
                "nobody is here to agree to this plan, so it is not applied",
            )
            .next("add --yes to agree beforehand, or --dry-run to only look")
            .see("needs_person")
            .into());
        }
        let risk = plan.get("risk").and_then(Value::as_str).unwrap_or_default();
        let question = if risk == "high" { "This is of high risk. Apply it?" } else { "Apply this?" };
        if ask::agrees(question, style) {
            return Ok(());
        }
        Err(Failure::new(Code::Declined, "not applied, as you said").into())
    }

    async fn apply(&self, client: &Client, plan: &Value) -> anyhow::Result<Result<Value, (Failure, Value)>> {
        let id = plan.get("id").and_then(Value::as_str).unwrap_or_default();
        let steps = plan.get("steps").and_then(Value::as_u64).unwrap_or(1);
        let total = plan.get("total").and_then(Value::as_u64).unwrap_or_default();
        if steps > 1 && !self.in_steps {
            let what =
                format!("the plan takes {steps} transactions of the store, so it can't be applied whole");
            let next = "add --in-steps: each step is in the history, and the whole can be undone";
            return Err(Failure::new(Code::Declined, what).next(next).into());
        }
        if total > 1000 && std::io::stderr().is_terminal() {
            crate::terminal::note(&format!(
                "applying {total} objects, and waiting until they are in force ..."
            ));
        }
        let mut body = json!({ "in_steps": self.in_steps });
        // A person is named only where one is needed: the client's own word is enough for the rest.
        if plan.get("needs_person").and_then(Value::as_bool) == Some(true)
            && let Some(members) = body.as_object_mut()
        {
            members.insert("approval".to_owned(), json!({ "person": person(self.yes) }));
        }
        client.try_post(&["plans", id, "apply"], &body).await
    }

    fn tell(&self, applied: &Value, style: Style) -> anyhow::Result<()> {
        if self.output != Format::Table {
            return output::print(applied, self.output);
        }
        for warning in texts(applied, "warnings") {
            say(&format!("warning: {}", clean(warning)))?;
        }
        let revision = applied.get("revision").and_then(Value::as_u64).unwrap_or_default();
        let in_force = applied.get("in_force").and_then(Value::as_bool).unwrap_or(true);
        let told = if in_force { "in force since" } else { "but not in force yet, stored as" };
        say(&style.dim(&format!("applied, {told} revision {revision}")))
    }
}

/// How far a plan has come; nothing is done.
async fn show_unfinished(client: &Client, plan: &str) -> anyhow::Result<()> {
    let status = client.get(&["status"], &[]).await?;
    let mut all = status.get("unfinished").and_then(Value::as_array).into_iter().flatten();
    let open = all.find(|open| open.get("plan").and_then(Value::as_str) == Some(plan));
    let Some(open) = open else {
        let what = format!("no plan {} is unfinished", clean(plan));
        return Err(Failure::new(Code::NotFound, what).next("`usher status` lists those that are").into());
    };
    let number = |name: &str| open.get(name).and_then(Value::as_u64).unwrap_or_default();
    say(&format!(
        "{} of {} steps of plan {} are applied; nothing was changed",
        number("done"),
        number("of"),
        clean(plan)
    ))
}

/// Who agreed, for the history.
fn person(beforehand: bool) -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let user = user.map_or_else(|| "somebody".to_owned(), |user| clean(&user));
    let how = if beforehand { "with --yes" } else { "asked at the terminal" };
    format!("{user}, {how}")
}

/// A plan as it is shown: whole, or its head where it is too long for that.
pub(crate) fn text(plan: &Value, style: Style) -> String {
    let whole = plan.get("text").and_then(Value::as_str).unwrap_or_default();
    if !whole.is_empty() {
        return style.diff(&clean_lines(whole));
    }
    let part = |name: &str| plan.get(name).and_then(Value::as_str).unwrap_or_default();
    let count =
        |name: &str| plan.pointer(&format!("/counts/{name}")).and_then(Value::as_u64).unwrap_or_default();
    let total = plan.get("total").and_then(Value::as_u64).unwrap_or_default();
    let mut lines = vec![format!("plan {}  risk {}  {total} objects", part("id"), part("risk"))];
    let (created, updated, deleted) = (count("created"), count("updated"), count("deleted"));
    // Of a very long plan only a part is counted, which would mislead.
    if created + updated + deleted == total {
        lines.push(format!("    {created} created, {updated} updated, {deleted} deleted"));
    }
    lines.extend(texts(plan, "reasons").take(SHOWN).map(|reason| format!("    because {}", clean(reason))));
    let changes = plan.get("changes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    lines.extend(changes.iter().take(SHOWN).map(headline));
    if let Some(more) =
        usize::try_from(total).unwrap_or(usize::MAX).checked_sub(SHOWN).filter(|more| *more > 0)
    {
        lines.push(format!("... and {more} more; -o json shows them"));
    }
    lines.extend(texts(plan, "warnings").take(SHOWN).map(|warning| format!("warning: {}", clean(warning))));
    style.diff(&lines.join("\n"))
}

/// One change without its fields: `+` made, `~` changed, `-` deleted.
pub(crate) fn headline(change: &Value) -> String {
    let part = |name: &str| change.get(name).and_then(Value::as_str).unwrap_or_default();
    let sign = match part("op") {
        "create" => '+',
        "delete" => '-',
        _ => '~',
    };
    clean(&format!("{sign} {} {}", part("kind"), part("id")))
}

/// The texts of a list.
pub(crate) fn texts<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    value.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
