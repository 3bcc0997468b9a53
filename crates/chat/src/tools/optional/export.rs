//! `gateway_export`: the configuration as a file, with masks in the place of secrets.

use serde_json::{Value, json};
use usher_model::document::{self, Dialect};
use usher_model::kind::{Key, Kind};

use crate::tools::arguments::Arguments;
use crate::tools::find::is_labelled;
use crate::tools::refusal::{Refusal, unknown_kind};
use crate::tools::text::{clean_value, untrusted};
use crate::tools::{Answer, Call};

/// Characters of a document: with the structured form beside it, about what a model can afford.
const MOST: usize = 9_000;

impl Call<'_> {
    pub(super) async fn export(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let words = arguments.list("kinds").iter().enumerate();
        let kinds: Vec<Kind> = words
            .map(|(at, word)| {
                let word = word.as_str().unwrap_or_default();
                Kind::named(word).ok_or_else(|| unknown_kind(word, &format!("/kinds/{at}")))
            })
            .collect::<Result<_, _>>()?;
        let kinds = if kinds.is_empty() { Kind::ALL.to_vec() } else { kinds };
        let label = arguments.text_or_null("label");
        let mut found: Vec<(Key, Value)> = Vec::new();
        for kind in kinds {
            for stored in self.all(kind).await? {
                if label.is_some_and(|label| !is_labelled(&stored, label)) {
                    continue;
                }
                let mut value = clean_value(&stored.value);
                if let Some(members) = value.as_object_mut() {
                    members.shift_remove("create_time");
                    members.shift_remove("update_time");
                }
                found.push((stored.key, value));
            }
        }
        let format = arguments.text("format");
        let dialect = if format == "apisix" { Dialect::Apisix } else { Dialect::Usher };
        let text = document::write(&found, dialect);
        let size = text.chars().count();
        if size > MOST {
            return Err(Refusal::new(format!(
                "{} objects make {size} characters, and {MOST} fit here",
                found.len()
            ))
            .at("/kinds")
            .allowed("fewer kinds, or a label")
            .next("gateway_export of some kinds; or the person writes all with `usher export`"));
        }
        let shown = untrusted("document", &text, usize::MAX);
        let structured = json!({ "format": format, "objects": found.len(), "document": text });
        Ok(Answer { text: format!("{} objects, secrets masked\n{shown}", found.len()), structured })
    }
}
