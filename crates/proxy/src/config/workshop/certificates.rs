//! Certificates that the gateway shows to upstreams: `ssl` objects of the type `client`, by their ids.

use std::collections::HashMap;

use serde_json::Value;
use usher_model::secret::Secret;

use super::{Moved, Workshop};

/// All of them.
#[derive(Default)]
pub(crate) struct Certificates(HashMap<String, Kept>);

enum Kept {
    Client(Pair),
    /// For clients of the gateway, or switched off: why it can't be used here.
    Other(&'static str),
    /// It could never be built.
    Unusable,
}

/// A certificate with its private key, in PEM.
#[derive(Clone)]
pub(in crate::config) struct Pair {
    pub(in crate::config) cert: String,
    pub(in crate::config) key: Secret<String>,
}

impl Certificates {
    /// The certificate of this id.
    ///
    /// # Errors
    /// There is none that can be shown.
    pub(in crate::config) fn client(&self, id: &str) -> Result<Pair, String> {
        let wrong = match self.0.get(id) {
            Some(Kept::Client(pair)) => return Ok(pair.clone()),
            Some(Kept::Other(wrong)) => wrong,
            Some(Kept::Unusable) => "can't be used; mend that one first",
            None => "does not exist",
        };
        Err(format!("the ssl {id}, which `tls.client_cert_id` names, {wrong}"))
    }
}

impl Workshop {
    /// An `ssl` object moved.
    pub(super) fn move_ssl(&mut self, moved: &Moved, value: Result<Option<Value>, String>) {
        let all = &mut self.tools.certificates.0;
        let id = &moved.key.id;
        let verdict = match value.and_then(|value| value.as_ref().map(read).transpose()) {
            Ok(None) => {
                all.remove(id);
                Ok(())
            }
            Ok(Some(kept)) => {
                all.insert(id.clone(), kept);
                Ok(())
            }
            Err(reason) => {
                all.entry(id.clone()).or_insert(Kept::Unusable);
                Err(reason)
            }
        };
        self.settle(moved, verdict);
    }
}

fn read(value: &Value) -> Result<Kept, String> {
    let text = |member: &str| value.get(member).and_then(Value::as_str);
    if text("type") != Some("client") {
        return Ok(Kept::Other("is not of the type \"client\""));
    }
    if value.get("status").and_then(Value::as_u64) == Some(0) {
        return Ok(Kept::Other("is switched off"));
    }
    match (text("cert"), text("key")) {
        (Some(cert), Some(key)) => {
            Ok(Kept::Client(Pair { cert: cert.to_owned(), key: Secret::new(key.to_owned()) }))
        }
        _ => Err("it needs `cert` and `key`".to_owned()),
    }
}
