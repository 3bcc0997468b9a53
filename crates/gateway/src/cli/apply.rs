//! `usher apply`, `diff` and `import`: whole documents become a plan, and the plan becomes real.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};
use usher_model::document::{self, Dialect};

use super::failure::{Code, Failure};
use super::files::{self, Documents};
use super::output::{self, Format};
use super::planned::{self, Consent};
use super::remote::{Client, Remote};
use crate::terminal::{self, Style, say};

/// Options of `usher apply`.
#[derive(Args, Debug)]
pub(crate) struct Apply {
    #[command(flatten)]
    source: Source,
    /// Go on with a plan whose steps were not all applied, as usher status lists it
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["files", "give_up"])]
    resume: Option<String>,
    /// Give up what is still to do of such a plan; what was applied stays, and usher undo takes it back
    #[arg(long, value_name = "PLAN", conflicts_with = "files")]
    give_up: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    remote: Remote,
}

/// Options of `usher diff`.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    #[command(flatten)]
    source: Source,
    /// End with 9 where there are differences
    #[arg(long)]
    exit_code: bool,
    /// How the differences are shown
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

/// Options of `usher import`.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// What `usher export` wrote; or a document of APISIX or ADC; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Delete everything that isn't in the file
    #[arg(long, conflicts_with = "openapi")]
    replace: bool,
    /// The file is the OpenAPI document of an API: publish it, or publish it anew. A route a path, with the methods that stand there; what isn't in the
    /// document any more goes, and what was added to its routes stays
    #[arg(long)]
    openapi: bool,
    /// With --openapi: what stands before each path at the gateway, such as /shop [default: the path of the document's server]
    #[arg(long, value_name = "PATH", requires = "openapi")]
    prefix: Option<String>,
    /// With --openapi: where the API is, instead of the document's first server
    #[arg(long, value_name = "URL", requires = "openapi")]
    server: Option<String>,
    /// With --openapi: the id of its service [default: made of the title]
    #[arg(long, value_name = "ID", requires = "openapi")]
    id: Option<String>,
    /// With --openapi: a host that it is published under; may repeat
    #[arg(long = "host", value_name = "HOST", requires = "openapi")]
    hosts: Vec<String>,
    /// With --openapi: serve what chats need to use the API beside it: a plugin manifest, the document, and one for GPT Actions
    #[arg(long, requires = "openapi")]
    chat: bool,
    /// With --openapi: the same, and these files say that callers show a key in this header; Authorization means a bearer token
    #[arg(long, value_name = "HEADER", requires = "openapi")]
    chat_key: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    remote: Remote,
}

/// Where a wanted state comes from.
#[derive(Args, Debug)]
struct Source {
    /// Usher's own YAML, APISIX's standalone file, or ADC's; JSON too; a folder stands for all files in it, `-` for standard input
    #[arg(long = "file", short = 'f', value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Delete what isn't in the files: of the kinds that they hold, or of those named with --kind
    #[arg(long)]
    delete: bool,
    /// With --delete: of these kinds
    #[arg(long = "kind", value_name = "KIND", requires = "delete")]
    kinds: Vec<String>,
    /// Only objects with this label, name=value; may repeat
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// What it is for, for the history
    #[arg(long, value_name = "TEXT")]
    intent: Option<String>,
}

impl Apply {
    /// Plans, asks and applies.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        if let Some(plan) = &self.resume {
            return self.consent.go_on(&client, plan).await;
        }
        if let Some(plan) = &self.give_up {
            return self.consent.give_up(&client, plan).await;
        }
        let read = self.source.read()?;
        let wanted = self.source.wanted();
        carry_out(&client, &self.consent, read, wanted).await
    }
}

impl Diff {
    /// Plans and shows.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        let read = self.source.read()?;
        let Some(plan) = plan(&client, read, self.source.wanted()).await? else {
            return say(NOTHING);
        };
        match self.output {
            Format::Table => say(&planned::text(&plan, Style::detect()))?,
            other => output::print(&plan, other)?,
        }
        if self.exit_code {
            return Err(Failure::new(Code::Differs, "there are differences").into());
        }
        Ok(())
    }
}

impl Import {
    /// Plans, asks and applies.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        if self.openapi {
            return self.publish(&client).await;
        }
        let read = files::read(std::slice::from_ref(&self.file))?;
        let mut wanted = Map::new();
        if self.replace {
            wanted.insert("delete".to_owned(), true.into());
            wanted.insert("kinds".to_owned(), json!(every_kind()));
        }
        wanted.insert("intent".to_owned(), format!("import of {}", self.file.display()).into());
        carry_out(&client, &self.consent, read, wanted).await
    }
}

impl Import {
    /// Plans, asks and applies the API of an OpenAPI document.
    async fn publish(&self, client: &Client) -> anyhow::Result<()> {
        let text = files::text(&self.file)?;
        let wanted = json!({
            "openapi": {
                "document": text, "prefix": self.prefix, "id": self.id, "server": self.server, "hosts": self.hosts,
                "chat": self.chat || self.chat_key.is_some(), "chat_key": self.chat_key,
            },
            "intent": format!("publish the API of {}", self.file.display()),
        });
        match client.try_post(&["plans"], &wanted).await? {
            Ok(plan) => self.consent.carry_out(client, plan).await,
            Err((_, body)) if is_nothing(&body) => say(NOTHING),
            Err((failure, _)) => Err(failure.into()),
        }
    }
}

/// What is said where a document is what is there already.
const NOTHING: &str = "nothing differs from what is there";

impl Source {
    fn read(&self) -> anyhow::Result<Documents> {
        if self.files.is_empty() {
            return Err(Failure::new(Code::Usage, "no file is named")
                .next("name one with -f, or - for standard input")
                .into());
        }
        files::read(&self.files)
    }

    /// The members of a plan's request beside the document.
    fn wanted(&self) -> Map<String, Value> {
        let mut wanted = Map::new();
        wanted.insert("delete".to_owned(), self.delete.into());
        wanted.insert("kinds".to_owned(), json!(self.kinds));
        let labels: Map<String, Value> =
            self.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        wanted.insert("labels".to_owned(), labels.into());
        if let Some(intent) = &self.intent {
            wanted.insert("intent".to_owned(), intent.as_str().into());
        }
        wanted
    }
}

async fn carry_out(
    client: &Client,
    consent: &Consent,
    read: Documents,
    wanted: Map<String, Value>,
) -> anyhow::Result<()> {
    match plan(client, read, wanted).await? {
        Some(plan) => consent.carry_out(client, plan).await,
        None => say(NOTHING),
    }
}

/// The plan of these objects; `None` where nothing would change.
async fn plan(
    client: &Client,
    read: Documents,
    mut wanted: Map<String, Value>,
) -> anyhow::Result<Option<Value>> {
    for warning in &read.warnings {
        terminal::complain(&format!("warning: {}", output::clean(warning)));
    }
    let count = read.objects.len();
    let text = document::write(&read.objects, Dialect::Usher);
    drop(read);
    if count > 1000 {
        terminal::note(&format!("sending {count} objects, {} KiB, to be checked ...", text.len() >> 10));
    }
    wanted.insert("document".to_owned(), text.into());
    match client.try_post(&["plans"], &wanted.into()).await? {
        Ok(plan) => Ok(Some(plan)),
        Err((_, body)) if is_nothing(&body) => Ok(None),
        Err((failure, _)) => Err(failure.into()),
    }
}

/// Whether a plan was refused because it would change nothing.
fn is_nothing(body: &Value) -> bool {
    body.pointer("/error/code").and_then(Value::as_str) == Some("nothing_to_change")
}

fn every_kind() -> Vec<&'static str> {
    usher_model::kind::Kind::ALL.into_iter().map(usher_model::kind::Kind::schema_name).collect()
}

/// A label as options have it.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is no label; write it as name=value")),
    }
}
