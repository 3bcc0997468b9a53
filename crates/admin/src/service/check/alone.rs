//! Checks one resource by itself, for whoever only wants to know: what it refers to, and what refers to it, isn't looked at.

use usher_model::kind::Key;

use serde_json::Value;

use super::super::request::Wanted;
use super::super::wish::Wish;
use super::super::{Service, ServiceError};
use super::object;

impl Service {
    /// Whether a resource could be stored, as far as it stands by itself: schema, meaning, plugins, nodes. Masks are taken for what is stored.
    ///
    /// # Errors
    /// The first rule it breaks, or the store can't be read.
    pub async fn check_alone(&self, key: &Key, value: Value) -> Result<(), ServiceError> {
        let wish = Wish::of(Wanted { keep_times: true, ..Wanted::default() });
        let before = self.held(key).await?;
        object::check(self, &wish, key, before.as_ref(), value).map(drop)
    }
}
