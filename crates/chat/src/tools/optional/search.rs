//! `search` and `fetch`, in the shape that ChatGPT's deep research and company knowledge read: one text that holds the JSON, and an address to cite.

use serde_json::{Value, json};
use usher_admin::service::{HistoryQuery, Stored};
use usher_model::kind::Kind;

use crate::tools::arguments::Arguments;
use crate::tools::find::mentions;
use crate::tools::history::when;
use crate::tools::line::{line, name_of};
use crate::tools::plan::summary;
use crate::tools::refusal::Refusal;
use crate::tools::shorten::{MOST_JSON, shorten};
use crate::tools::text::{clean, clean_value, untrusted};
use crate::tools::{Answer, Call, MOST_ITEMS};

/// The kinds that are searched, in the order of the results.
const SEARCHED: [Kind; 8] = [
    Kind::Route,
    Kind::Service,
    Kind::Upstream,
    Kind::Consumer,
    Kind::PluginConfig,
    Kind::GlobalRule,
    Kind::Ssl,
    Kind::StreamRoute,
];
/// Changes that are looked through, the newest ones.
const CHANGES: usize = 100;
/// Words of a question that are looked for.
const MOST_WORDS: usize = 12;
/// What stands before a revision in the id of a change.
const CHANGE: &str = "change/";

impl Call<'_> {
    pub(super) async fn search(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let query = arguments.text("query").to_lowercase();
        let words: Vec<&str> = query.split_whitespace().take(MOST_WORDS).collect();
        if words.is_empty() {
            return Err(Refusal::new("query is empty")
                .at("/query")
                .allowed("words, such as a path, a host or a name"));
        }
        let mut found: Vec<(usize, Value)> = Vec::new();
        for kind in SEARCHED {
            for stored in self.all(kind).await? {
                // `routes` finds all routes, and a question finds what most of its words are about.
                let is_kind = |word: &str| word == kind.schema_name() || word == kind.collection();
                let fits = words.iter().filter(|word| is_kind(word) || mentions(kind, &stored, word)).count();
                if fits > 0 {
                    found.push((fits, self.result(kind, &stored)));
                }
            }
        }
        let query = HistoryQuery { key: None, before: None, limit: CHANGES };
        for entry in self.service.history(self.who, query).await.map_err(|error| self.refuse(error))? {
            let told = format!(
                "{} {}",
                summary(&entry.changes, entry.total),
                entry.intent.as_deref().unwrap_or_default()
            );
            let lower = told.to_lowercase();
            let fits = words.iter().filter(|word| **word == "changes" || lower.contains(**word)).count();
            if fits > 0 {
                let id = format!("{CHANGE}{}", entry.revision);
                let title =
                    clean(&format!("change {} of {}: {told}", entry.revision, when(entry.unix_ms)), 200);
                found.push((fits, json!({ "id": id, "title": title, "url": self.address(&id) })));
            }
        }
        // The best ones first; a sort that keeps the order of equals.
        found.sort_by_key(|(fits, _)| std::cmp::Reverse(*fits));
        let results: Vec<Value> = found.into_iter().take(MOST_ITEMS).map(|(_, result)| result).collect();
        Ok(as_text(json!({ "results": results })))
    }

    pub(super) async fn fetch(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let id = arguments.text("id");
        let wrong = || {
            Refusal::new(format!("{:?} is no id that search gave", clean(id, 100)))
                .at("/id")
                .allowed("such as route/1 or change/7")
                .next("search gives ids")
        };
        if let Some(revision) = id.strip_prefix(CHANGE) {
            return self.change(id, revision.parse().map_err(|_| wrong())?).await;
        }
        let (kind, name) = id.split_once('/').ok_or_else(wrong)?;
        let kind = Kind::named(kind).ok_or_else(wrong)?;
        let key = self.locate(kind, name, "/id").await?;
        let stored = self.stored(&key).await?.ok_or_else(wrong)?;
        let mut value = clean_value(&stored.value);
        let is_cut = shorten(&mut value, MOST_JSON);
        let title = title(kind, &stored);
        let metadata = json!({ "kind": kind.schema_name(), "revision": stored.modified, "cut": is_cut });
        Ok(self.document(id, &title, &format!("{value:#}"), metadata))
    }

    async fn change(&self, id: &str, revision: u64) -> Result<Answer, Refusal> {
        let query = HistoryQuery { key: None, before: Some(revision.saturating_add(1)), limit: 1 };
        let found = self.service.history(self.who, query).await.map_err(|error| self.refuse(error))?;
        let entry = found.first().filter(|entry| entry.revision == revision).ok_or_else(|| {
            Refusal::new(format!("revision {revision} is no change that you may see"))
                .at("/id")
                .allowed("a change that search gave")
                .next("gateway_history lists changes")
        })?;
        let told = format!(
            "{} by {}: {}\n{}",
            when(entry.unix_ms),
            clean(&entry.principal, 100),
            summary(&entry.changes, entry.total),
            entry.intent.as_deref().unwrap_or_default()
        );
        let metadata =
            json!({ "risk": entry.risk.to_string(), "door": entry.door.to_string(), "undoes": entry.undoes });
        Ok(self.document(id, &format!("change {revision}"), &told, metadata))
    }

    fn document(&self, id: &str, title: &str, text: &str, metadata: Value) -> Answer {
        let id = clean(id, 300);
        let url = self.address(&id);
        as_text(json!({
            "id": id, "title": title, "text": untrusted("object", text, usize::MAX), "url": url, "metadata": metadata,
        }))
    }

    fn result(&self, kind: Kind, stored: &Stored) -> Value {
        let id = clean(&format!("{}/{}", kind.schema_name(), stored.key.id), 300);
        json!({ "id": id, "title": title(kind, stored), "url": self.address(&id) })
    }

    /// Where it is cited: the console's page where that is known, otherwise the resource of MCP.
    fn address(&self, id: &str) -> String {
        let page = match id.split_once('/') {
            Some((kind, name)) => match Kind::named(kind) {
                Some(kind) => format!("objects/{}/{}", kind.collection(), step(name)),
                None => "history".to_owned(),
            },
            None => String::new(),
        };
        self.service.console_place(&page).unwrap_or_else(|| format!("gateway://{id}"))
    }
}

/// A name as a step of an address.
fn step(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn title(kind: Kind, stored: &Stored) -> String {
    let name = name_of(&stored.value).unwrap_or(&stored.key.id);
    clean(&format!("{} {name}: {}", kind.word(), line(kind, &stored.value)), 200)
}

/// The text is the JSON itself: that is what these clients read.
fn as_text(structured: Value) -> Answer {
    Answer { text: structured.to_string(), structured }
}
