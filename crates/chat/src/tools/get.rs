//! `gateway_get`: one object as it is stored, with its secrets masked.

use serde_json::json;

use super::arguments::Arguments;
use super::refusal::Refusal;
use super::shorten::{MOST_JSON, shorten};
use super::text::{clean_value, untrusted};
use super::{Answer, Call};

impl Call<'_> {
    pub(super) async fn get(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let kind = arguments.kind("kind")?;
        let key = self.locate(kind, arguments.text("id"), "/id").await?;
        let Some(stored) = self.stored(&key).await? else {
            return Err(self.refuse(usher_admin::service::ServiceError::NotFound(key)));
        };
        let mut value = clean_value(&stored.value);
        let is_cut = shorten(&mut value, MOST_JSON);
        let shown = untrusted("object", &format!("{value:#}"), usize::MAX);
        let mut text = format!("{key}, revision {}\n{shown}", stored.modified);
        if is_cut {
            text.push_str("\ncut where … stands; change it with op merge, never with replace");
        }
        let structured =
            json!({ "kind": kind.schema_name(), "id": key.id, "revision": stored.modified, "value": value });
        Ok(Answer { text, structured })
    }
}
