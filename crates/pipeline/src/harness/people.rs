//! The consumers and upstreams that exist on the test bench.

use std::cell::RefCell;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::consumer::{Consumer, Directory, Found};
use crate::spec::ParsedCredential;

/// A directory that tests fill by hand.
#[derive(Default)]
pub struct People {
    found: RefCell<Vec<(String, String, Found)>>,
    upstreams: RefCell<Vec<String>>,
}

impl People {
    pub(super) fn add(
        &self,
        name: &str,
        plugin: &str,
        credential: ParsedCredential,
        labels: Map<String, Value>,
        group: Option<&str>,
    ) {
        let custom_id = labels.get("custom_id").and_then(Value::as_str).map(Arc::from);
        let group_id = group.map(Arc::from);
        let consumer = Consumer { name: name.into(), group_id, custom_id, labels, ..Consumer::default() };
        let found = Found { consumer: Arc::new(consumer), credential: None, config: credential.config };
        self.found.borrow_mut().push((plugin.to_owned(), credential.unique, found));
    }

    pub(super) fn add_upstream(&self, id: &str) {
        self.upstreams.borrow_mut().push(id.to_owned());
    }
}

impl Directory for People {
    fn credential(&self, plugin: &str, unique: &[u8]) -> Option<Found> {
        let found = self.found.borrow();
        found
            .iter()
            .find(|(p, u, _)| p == plugin && u.as_bytes() == unique)
            .map(|(_, _, found)| found.clone())
    }

    fn consumer(&self, name: &str) -> Option<Arc<Consumer>> {
        let found = self.found.borrow();
        found.iter().find(|(_, _, f)| &*f.consumer.name == name).map(|(_, _, f)| Arc::clone(&f.consumer))
    }

    fn has_upstream(&self, id: &str) -> bool {
        self.upstreams.borrow().iter().any(|known| known == id)
    }
}
