//! `usher history`, `undo`, `audit` and `status`: what happened, how to take it back, and how things are.

use clap::Args;
use serde_json::{Value, json};

use super::failure::{Code, Failure};
use super::output::{self, Format, Table, clean, moment, number, word};
use super::planned::{Consent, headline};
use super::remote::{Client, Remote};
use crate::terminal::{Style, say};

/// Objects and fields that one line names.
const NAMED: usize = 3;

/// Objects of a change that are asked for at a time.
const PAGE: usize = 1000;

/// Options of `usher history`.
#[derive(Args, Debug)]
pub(crate) struct History {
    /// One change, field by field, all of it
    #[arg(value_name = "REVISION")]
    revision: Option<u64>,
    /// Only changes of this object, such as route/1
    #[arg(long, value_name = "KIND/ID")]
    key: Option<String>,
    /// Only changes before this revision
    #[arg(long, value_name = "REVISION")]
    before: Option<u64>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// How they are shown
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

/// Options of `usher undo`.
#[derive(Args, Debug)]
pub(crate) struct Undo {
    /// The change to take back; the newest that stands where none is named
    #[arg(value_name = "REVISION")]
    revision: Option<u64>,
    /// What it is for, for the history
    #[arg(long, value_name = "TEXT")]
    intent: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    remote: Remote,
}

/// Options of `usher status`.
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Confirm the change of the store that is held back, such as the loss of most objects
    #[arg(long)]
    accept: bool,
    /// Ask the status port instead, without a key, whether requests can be sent here: for health checks; ends with 7 if not
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = super::ready::USUAL, conflicts_with_all = ["accept", "output"])]
    ready: Option<String>,
    /// How it is shown
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

/// Options of `usher audit`.
#[derive(Args, Debug)]
pub(crate) struct Audit {
    /// Check that every record is as it was written
    #[arg(long)]
    verify: bool,
    /// All records as lines of JSON
    #[arg(long, conflicts_with = "verify")]
    export: bool,
    /// Only records behind this number
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// How they are shown
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

impl History {
    /// Reads and shows.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        let style = Style::detect();
        if let Some(revision) = self.revision {
            return self.one(&client, revision, style).await;
        }
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.before.map(|before| ("before", before.to_string())));
        query.extend(self.key.clone().map(|key| ("key", key)));
        let found = client.get(&["history"], &query).await?;
        let entries = found.get("entries").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if self.output != Format::Table {
            return output::print(&json!(entries), self.output);
        }
        let mut table = Table::new(["REVISION", "WHEN", "WHO", "DOOR", "RISK", "WHAT"]);
        for entry in entries {
            table.row([
                number(entry, "revision").to_string(),
                moment(number(entry, "unix_ms")),
                word(entry, "principal").to_owned(),
                word(entry, "door").to_owned(),
                word(entry, "risk").to_owned(),
                summary(entry),
            ]);
        }
        table.print(style, "nothing was changed yet")
    }

    /// One change: its pages are shown as they come, so that a very large one is not held whole to be read.
    async fn one(&self, client: &Client, revision: u64, style: Style) -> anyhow::Result<()> {
        let name = revision.to_string();
        let (mut entry, mut all, mut after) = (None, Vec::new(), None);
        loop {
            let mut query = vec![("limit", PAGE.to_string())];
            query.extend(self.key.clone().map(|key| ("key", key)));
            query.extend(after.map(|after| ("after", after)));
            let mut page = client.get(&["history", &name], &query).await?;
            after = page.get("next").and_then(Value::as_str).map(str::to_owned);
            let mut take = |name: &str| page.get_mut(name).map(Value::take).unwrap_or_default();
            let changes = take("changes");
            if entry.is_none() {
                let first = take("entry");
                if self.output == Format::Table {
                    head(&first, style)?;
                }
                entry = Some(first);
            }
            match changes {
                Value::Array(changes) if self.output == Format::Table => fields(&changes, style)?,
                Value::Array(changes) => all.extend(changes),
                _ => {}
            }
            if after.is_none() {
                break;
            }
        }
        let mut entry = entry.unwrap_or_default();
        if let Some(members) = entry.as_object_mut() {
            members.insert("changes".to_owned(), Value::Array(all));
        }
        if self.output == Format::Table { Ok(()) } else { output::print(&entry, self.output) }
    }
}

impl Undo {
    /// Plans, asks and applies.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        let request = json!({ "revision": self.revision, "intent": self.intent });
        let plan = client.post(&["undo"], &request).await?;
        self.consent.carry_out(&client, plan).await
    }
}

impl Status {
    /// Reads and shows.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        if let Some(status_port) = &self.ready {
            return super::ready::check(status_port).await;
        }
        let client = self.remote.client()?;
        if self.accept {
            let answer = client.post(&["status", "accept"], &json!({})).await?;
            return say(match answer.get("accepted").and_then(Value::as_str) {
                Some(_) => "confirmed; it comes into force within some seconds",
                None => "nothing is held back",
            });
        }
        let found = client.get(&["status"], &[]).await?;
        if self.output != Format::Table {
            return output::print(&found, self.output);
        }
        let style = Style::detect();
        let at = |pointer: &str| found.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let mut table = Table::new(["", ""]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        row("version", at("/version").to_owned());
        row("store", format!("{} {}", at("/store/kind"), at("/store/place")));
        row("revision", number(&found, "revision").to_string());
        row("in force", number(&found, "in_force").to_string());
        let listeners: Vec<&str> = super::planned::texts(&found, "listeners").collect();
        row("gateway", listeners.join(", "));
        row("you", format!("{}, {} by {}", at("/you/name"), at("/you/role"), at("/you/door")));
        for (name, pointer) in [
            ("store away", "/store/away"),
            ("writes fail", "/store/writes_fail"),
            ("held back", "/store/held"),
            ("recovered", "/store/recovered"),
        ] {
            if !at(pointer).is_empty() {
                row(name, at(pointer).to_owned());
            }
        }
        if !at("/store/held").is_empty() {
            row("", "`usher status --accept` confirms it".to_owned());
        }
        for problem in found.get("problems").and_then(Value::as_array).into_iter().flatten() {
            row("problem", format!("{}: {}", word(problem, "key"), word(problem, "reason")));
        }
        for plan in found.get("unfinished").and_then(Value::as_array).into_iter().flatten() {
            let steps = format!("{} of {} steps applied", number(plan, "done"), number(plan, "of"));
            let plan = (word(plan, "plan"), clean(word(plan, "principal")));
            row(
                "unfinished",
                format!("plan {} of {}: {steps}; usher apply --resume {0} goes on", plan.0, plan.1),
            );
        }
        table.print(style, "")
    }
}

impl Audit {
    /// Reads and shows.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        let style = Style::detect();
        if self.verify {
            let found = client.get(&["audit", "verify"], &[]).await?;
            return verdict(
                &found,
                "compare it with an earlier export; whoever can write to the store can change it",
            );
        }
        let mut query: Vec<(&str, String)> =
            self.after.map(|after| ("after", after.to_string())).into_iter().collect();
        if self.export {
            let lines = client.bytes(&["audit", "export"], &query).await?;
            return crate::terminal::put(&lines);
        }
        query.push(("limit", self.limit.to_string()));
        let found = client.get(&["audit"], &query).await?;
        let records = found.get("records").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if self.output != Format::Table {
            return output::print(&json!(records), self.output);
        }
        let mut table = Table::new(["NUMBER", "WHEN", "WHO", "DOOR", "EVENT", "ABOUT"]);
        for record in records {
            table.row([
                number(record, "number").to_string(),
                moment(number(record, "unix_ms")),
                word(record, "principal").to_owned(),
                word(record, "door").to_owned(),
                word(record, "event").to_owned(),
                about(record),
            ]);
        }
        table.print(style, "there are no records")
    }
}

/// Whether a chain of records is whole; otherwise, where it is broken and what to do.
pub(super) fn verdict(found: &Value, next: &str) -> anyhow::Result<()> {
    if let Some(broken) = found.get("broken").filter(|broken| !broken.is_null()) {
        let (at, why) = (number(broken, "number"), word(broken, "reason"));
        let what = format!("record {at} is not as it was written: {why}");
        return Err(Failure::new(Code::Failed, what).next(next).into());
    }
    say(&format!("all {} records are as they were written", number(found, "records")))
}

/// What a record of the audit is about: its own sentence, or the objects.
fn about(record: &Value) -> String {
    if !word(record, "about").is_empty() {
        return word(record, "about").to_owned();
    }
    let changes = record.get("changes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut keys: Vec<&str> = changes.iter().take(NAMED).map(|change| word(change, "key")).collect();
    if number(record, "total") > NAMED as u64 {
        keys.push("...");
    }
    keys.join(", ")
}

/// Who made a change, when and what for.
fn head(entry: &Value, style: Style) -> anyhow::Result<()> {
    let mut lines = vec![format!(
        "revision {}  {}  {} ({}) by {}",
        number(entry, "revision"),
        moment(number(entry, "unix_ms")),
        clean(word(entry, "principal")),
        word(entry, "role"),
        word(entry, "door")
    )];
    lines.push(format!("    risk {}, approval {}", word(entry, "risk"), clean(word(entry, "approval"))));
    if !word(entry, "intent").is_empty() {
        lines.push(format!("    for: {}", clean(word(entry, "intent"))));
    }
    if let Some(undoes) = entry.get("undoes").and_then(Value::as_u64) {
        lines.push(format!("    takes back revision {undoes}"));
    }
    let missed = number(entry, "not_written");
    if missed > 0 {
        let named: Vec<String> = super::planned::texts(entry, "not_written_objects").map(clean).collect();
        lines.push(format!("    {missed} objects of it were not written: {}", named.join(", ")));
    }
    say(&style.diff(&lines.join("\n")))
}

/// What a change did, field by field.
fn fields(changes: &[Value], style: Style) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for change in changes {
        lines.push(headline(change));
        for field in change.get("fields").and_then(Value::as_array).into_iter().flatten() {
            let side = |name: &str| field.get(name).map(|value| clean(&value.to_string()));
            let path = clean(word(field, "path"));
            lines.push(match (side("before"), side("after")) {
                (Some(before), Some(after)) => format!("    ~ {path}: {before} -> {after}"),
                (Some(before), None) => format!("    - {path}: {before}"),
                (None, after) => format!("    + {path}: {}", after.unwrap_or_default()),
            });
        }
    }
    if lines.is_empty() { Ok(()) } else { say(&style.diff(&lines.join("\n"))) }
}

/// A set of changes in one line.
fn summary(entry: &Value) -> String {
    let changes = entry.get("objects").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut parts: Vec<String> = changes.iter().take(NAMED).map(told).collect();
    let total = usize::try_from(number(entry, "total")).unwrap_or(usize::MAX).max(changes.len());
    if total > NAMED {
        parts.push(format!("{} more", total - NAMED));
    }
    let mut what = parts.join("; ");
    let missed = number(entry, "not_written");
    if missed > 0 {
        what = format!("in part, {missed} not written: {what}");
    }
    match entry.get("undoes").and_then(Value::as_u64) {
        Some(undoes) => format!("undoes {undoes}: {what}"),
        None => what,
    }
}

fn told(change: &Value) -> String {
    let head = headline(change);
    if word(change, "op") != "update" {
        return head;
    }
    let fields = change.get("fields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut paths: Vec<&str> = fields.iter().take(NAMED).filter_map(Value::as_str).collect();
    if fields.len() > NAMED {
        paths.push("...");
    }
    format!("{head}: {}", paths.join(", "))
}
