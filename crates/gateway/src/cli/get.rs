//! `usher get`, `list` and `delete`: single objects and lists of them.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use super::columns;
use super::output::{self, Format, Table, clean};
use super::planned::Consent;
use super::remote::Remote;
use crate::terminal::{Style, say};

/// Options of `usher get`.
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// Its kind, such as route, upstream or plugin_config
    #[arg(value_name = "KIND")]
    kind: String,
    /// Its id; jack/c1 is the credential c1 of the consumer jack
    #[arg(value_name = "ID")]
    id: String,
    /// How it is shown
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Yaml)]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

/// Options of `usher list`.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// The kind, such as routes; without one, how many there are of each
    #[arg(value_name = "KIND")]
    kind: Option<String>,
    /// Only those whose id or name holds this text
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only those with this label: a name, or name=value; may repeat
    #[arg(long = "label", value_name = "NAME[=VALUE]")]
    labels: Vec<String>,
    /// Only those whose uri begins like this
    #[arg(long, value_name = "PATH")]
    uri: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    limit: u32,
    /// How they are shown
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

/// Options of `usher delete`.
#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// The kind, such as route
    #[arg(value_name = "KIND")]
    kind: String,
    /// The ids; all are deleted together or none is
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Delete it though others use it
    #[arg(long)]
    force: bool,
    /// What it is for, for the history
    #[arg(long, value_name = "TEXT")]
    intent: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    remote: Remote,
}

impl Get {
    /// Reads and shows.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let object = self.remote.client()?.get(&["objects", &self.kind, &self.id], &[]).await?;
        let value = object.get("value").unwrap_or(&Value::Null);
        match self.output {
            Format::Table => {
                let mut table = Table::new(["FIELD", "VALUE"]);
                let of = |name: &str| object.get(name).map(plain).unwrap_or_default();
                table.row(["kind".to_owned(), of("kind")]);
                table.row(["revision".to_owned(), of("revision")]);
                if let Some(ends) = ends(&object) {
                    table.row(["ends".to_owned(), ends]);
                }
                for (name, member) in value.as_object().into_iter().flatten() {
                    table.row([name.clone(), plain(member)]);
                }
                table.print(Style::detect(), "")
            }
            other => output::print(value, other),
        }
    }
}

impl List {
    /// Reads and shows.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        let style = Style::detect();
        let Some(kind) = &self.kind else { return self.kinds(&client, style).await };
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.name.clone().map(|name| ("name", name)));
        query.extend(self.uri.clone().map(|uri| ("uri", uri)));
        if !self.labels.is_empty() {
            query.push(("label", self.labels.join(",")));
        }
        let found = client.get(&["objects", kind], &query).await?;
        let objects = found.get("objects").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if self.output != Format::Table {
            let values: Vec<&Value> = objects.iter().filter_map(|object| object.get("value")).collect();
            return output::print(&json!(values), self.output);
        }
        let kind = objects.first().and_then(|object| object.get("kind")).and_then(Value::as_str);
        let columns = columns::of(kind.unwrap_or_default());
        // Few objects end by themselves: only where one does there is a column for it.
        let some_end = objects.iter().any(|object| ends(object).is_some());
        let titles = ["ID"].into_iter().chain(columns.iter().map(|(title, _)| *title));
        let mut table = Table::new(titles.chain(some_end.then_some("ENDS")));
        for object in objects {
            let id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            let value = object.get("value").unwrap_or(&Value::Null);
            let cells = [id].into_iter().chain(columns.iter().map(|(_, cell)| cell(value)));
            table.row(cells.chain(some_end.then(|| ends(object).unwrap_or_default())));
        }
        table.print(style, "there are none")?;
        let total = found.get("total").and_then(Value::as_u64).unwrap_or_default();
        if total > objects.len() as u64 {
            say(&style.dim(&format!("{} of {total}; --limit shows more", objects.len())))?;
        }
        Ok(())
    }

    /// How many objects there are of each kind.
    async fn kinds(&self, client: &super::remote::Client, style: Style) -> anyhow::Result<()> {
        let mut table = Table::new(["KIND", "OBJECTS"]);
        let mut counts = serde_json::Map::new();
        for kind in usher_model::kind::Kind::ALL {
            let name = kind.schema_name();
            let found = client.get(&["objects", name], &[("limit", "1".to_owned())]).await?;
            let total = found.get("total").cloned().unwrap_or_default();
            table.row([name.to_owned(), plain(&total)]);
            counts.insert(name.to_owned(), total);
        }
        match self.output {
            Format::Table => table.print(style, ""),
            other => output::print(&counts.into(), other),
        }
    }
}

impl Delete {
    /// Plans, asks and applies.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        let changes: Vec<Value> =
            self.ids.iter().map(|id| json!({ "op": "delete", "kind": self.kind, "id": id })).collect();
        let request = json!({ "changes": changes, "force": self.force, "intent": self.intent });
        let plan = client.post(&["plans"], &request).await?;
        self.consent.carry_out(&client, plan).await
    }
}

/// When an object ends by itself; `None` where it stays.
fn ends(object: &Value) -> Option<String> {
    let at = object.get("ends_unix_ms").and_then(Value::as_u64)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(output::until(at, u64::try_from(now.as_millis()).unwrap_or(u64::MAX)))
}

/// A value on one line.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        other => other.to_string(),
    }
}
