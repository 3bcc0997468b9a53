//! Consumer groups: plugins that lie under those of each of their consumers.

use std::collections::HashMap;

use serde_json::Value;
use usher_model::resource;
use usher_pipeline::compile::Pipeline;

use super::{Moved, Workshop};

/// The plugins of all groups, built once for all their consumers; `None` for one that could never be built.
#[derive(Default)]
pub(super) struct Groups(HashMap<String, Option<Pipeline>>);

impl Groups {
    /// The plugins of a group.
    ///
    /// # Errors
    /// There is none, or it could never be built.
    pub(super) fn get(&self, id: &str) -> Result<&Pipeline, String> {
        match self.0.get(id) {
            Some(Some(plugins)) => Ok(plugins),
            Some(None) => Err(format!(
                "the consumer group {id}, which it belongs to, can't be used; mend that one first"
            )),
            None => Err(format!("the consumer group {id}, which it belongs to, does not exist")),
        }
    }
}

impl Workshop {
    /// A consumer group moved. Its consumers are the caller's business.
    pub(super) fn move_group(&mut self, moved: &Moved, value: Result<Option<Value>, String>) {
        let built = self.tools.guard(|tools| {
            let Some(value) = value? else { return Ok(None) };
            let written = resource::Plugins::from_value(&value).map_err(|error| error.to_string())?;
            tools.compile(moved, &written.plugins).map(Some)
        });
        let groups = &mut self.groups.0;
        let id = &moved.key.id;
        let verdict = match built {
            Ok(None) => {
                groups.remove(id);
                Ok(())
            }
            Ok(plugins) => {
                groups.insert(id.clone(), plugins);
                Ok(())
            }
            Err(reason) => {
                groups.entry(id.clone()).or_default();
                Err(reason)
            }
        };
        self.settle(moved, verdict);
    }
}
