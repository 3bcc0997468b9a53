//! Secrets in clear: for an export that has to hold them, and never without a record of who had them.

use std::sync::Arc;

use usher_model::change::Principal;
use usher_model::kind::{Key, PREFIX};
use usher_store::Transaction;

use super::{AuditEvent, Event};
use crate::service::request::Stored;
use crate::service::world::Held;
use crate::service::{Service, ServiceError, consent};

/// The objects that a record names; the rest is counted.
const NAMED: usize = 10;

impl Service {
    /// Resources with their secrets in clear; those that aren't there are left out. Only an unscoped admin may, and the audit tells of it before
    /// anything is given out. An empty list reveals everything that there is.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], a secret that can't be opened, or the store.
    pub async fn reveal(
        &self,
        who: &Principal,
        keys: &[Key],
        why: &str,
    ) -> Result<Vec<Stored>, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let mut all = Vec::new();
        if keys.is_empty() {
            for entry in self.store().list(&format!("{PREFIX}/")).await?.entries {
                let Some(key) = Key::parse(&entry.key) else { continue };
                match super::super::read::parse(&entry) {
                    Ok(value) => {
                        let (created, modified) = (entry.created, entry.modified);
                        let ends_unix_ms = self.ends_at(&key, modified);
                        all.push(Stored { key, value, created, modified, ends_unix_ms });
                    }
                    // It holds no secret that anybody could use.
                    Err(error) => tracing::warn!(%error, "an object is left out of what is revealed"),
                }
            }
        } else {
            for key in keys {
                if let Some(Held { value, created, modified }) = self.held(key).await? {
                    all.push(Stored {
                        key: key.clone(),
                        value: Arc::unwrap_or_clone(value),
                        created,
                        modified,
                        ends_unix_ms: self.ends_at(key, modified),
                    });
                }
            }
        }
        for stored in &mut all {
            if !self.vault.open(&stored.key, &mut stored.value) {
                return Err(ServiceError::Damaged(format!(
                    "a secret of {} can't be opened with the keyring that is here; nothing is revealed",
                    stored.key
                )));
            }
        }
        let named: Vec<String> = all.iter().take(NAMED).map(|stored| stored.key.to_string()).collect();
        let more = all.len().saturating_sub(named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let about = format!("{why}: {}{more}", named.join(", "));
        let event = Event::new(AuditEvent::Revealed, &about).of(all.len());
        self.told_with(who, event, Transaction::default()).await?;
        Ok(all)
    }
}
