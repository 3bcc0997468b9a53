//! `ssl` objects: those of the type `client` are shown to upstreams and found by their ids, those of the type `server` are shown to clients and
//! found by the names they are for.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use usher_model::reference::KEPT_BY_APISIX;
use usher_model::secret::Secret;
use usher_pipeline::front::Front;

use super::{Moved, Workshop};
use crate::config::ssl::{Common, Ssl};

/// Those that are shown to upstreams, and why the others aren't.
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
        let id = &moved.key.id;
        let read = self.tools.guard(|tools| {
            let value = value?;
            value.as_ref().map(|value| read(id, value, &tools.tls)).transpose()
        });
        let all = &mut self.tools.certificates.0;
        let verdict = match read {
            Ok(None) => {
                all.remove(id);
                self.drop_ssl(id);
                Ok(())
            }
            Ok(Some((kept, served))) => {
                all.insert(id.clone(), kept);
                match served {
                    Some(ssl) => {
                        Front::of(&self.tools.process).set_certificate(&ssl.id, Some(ssl.ends));
                        self.ssls.put(moved.created, Arc::new(ssl));
                    }
                    None => self.drop_ssl(id),
                }
                Ok(())
            }
            Err(reason) => {
                // What was served is served on.
                all.entry(id.clone()).or_insert(Kept::Unusable);
                Err(reason)
            }
        };
        self.settle(moved, verdict);
    }

    fn drop_ssl(&mut self, id: &str) {
        Front::of(&self.tools.process).set_certificate(&id.into(), None);
        self.ssls.remove(id);
    }
}

/// What is made of an object, for upstreams and for clients.
fn read(id: &str, value: &Value, tls: &Common) -> Result<(Kept, Option<Ssl>), String> {
    let text = |member: &str| value.get(member).and_then(Value::as_str);
    let is_on = value.get("status").and_then(Value::as_u64) != Some(0);
    if text("type") != Some("client") {
        let kept = Kept::Other("is not of the type \"client\"");
        // A running APISIX never shows its private keys: such a certificate is managed from here and served there.
        let is_elsewhere = text("key").is_some_and(|key| key.starts_with(KEPT_BY_APISIX));
        return Ok((kept, if is_on && !is_elsewhere { Some(tls.build(id, value)?) } else { None }));
    }
    if !is_on {
        return Ok((Kept::Other("is switched off"), None));
    }
    match (text("cert"), text("key")) {
        (Some(cert), Some(key)) => {
            let pair = Pair { cert: cert.to_owned(), key: Secret::new(key.to_owned()) };
            Ok((Kept::Client(pair), None))
        }
        _ => Err("it needs `cert` and `key`".to_owned()),
    }
}
