//! A page of a list: whatever there is, only what the page shows is masked and handed over.
//!
//! Where nothing is looked for, only the page's own values are even read as JSON, so that the first page of a hundred thousand routes costs little
//! more than that of a hundred.

use serde_json::Value;
use usher_model::change::Principal;
use usher_model::kind::{Key, Kind, PREFIX};

use super::read::parse;
use super::request::Stored;
use super::{Service, ServiceError};

/// Says of an object whether it is wanted.
pub type Keeps<'a> = dyn Fn(&Key, &Value) -> bool + Sync + 'a;

/// Which part of a list is wanted.
pub struct PageQuery<'a> {
    /// Only ids behind this one.
    pub after: Option<&'a str>,
    /// At most so many.
    pub limit: usize,
    /// Only objects of which this says yes, by key and value as it is stored; `None`: all.
    pub keeps: Option<&'a Keeps<'a>>,
}

/// A part of a list.
pub struct Page {
    /// The objects, in byte order of their keys.
    pub objects: Vec<Stored>,
    /// How many there are in all, with the same condition.
    pub total: usize,
    /// Whether there are more behind these.
    pub more: bool,
}

impl Service {
    /// A part of what [`Service::list`] gives.
    ///
    /// # Errors
    /// As for [`Service::get`].
    pub async fn page(
        &self,
        who: &Principal,
        kind: Kind,
        query: PageQuery<'_>,
    ) -> Result<Page, ServiceError> {
        let listing = self.store().list(&format!("{PREFIX}/{}/", kind.collection())).await?;
        let mut page = Page { objects: Vec::new(), total: 0, more: false };
        for entry in listing.entries {
            let Some(key) = Key::parse(&entry.key).filter(|key| key.kind == kind) else { continue };
            let is_here = query.after.is_none_or(|after| key.id.as_str() > after);
            let has_room = page.objects.len() < query.limit;
            if query.keeps.is_none() && who.scope.is_all() && !(is_here && has_room) {
                page.total += 1;
                page.more |= is_here;
                continue;
            }
            let value = match parse(&entry) {
                Ok(value) => value,
                Err(error) => {
                    tracing::warn!(%error, "an object is left out of a list");
                    continue;
                }
            };
            if query.keeps.is_some_and(|keeps| !keeps(&key, &value))
                || !self.may_see(who, &key, &value).await?
            {
                continue;
            }
            page.total += 1;
            if !is_here {
                continue;
            }
            if !has_room {
                page.more = true;
                continue;
            }
            page.objects.push(self.stored(who, key, value, &entry));
        }
        Ok(page)
    }
}
