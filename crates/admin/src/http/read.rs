//! GET of one resource or of a collection.

use axum::http::StatusCode;
use usher_model::kind::{Key, Kind};

use super::answer::Answer;
use super::condition::Condition;
use super::envelope::{folder, strip};
use super::filter::{Filter, Page};
use super::options::Envelopes;
use super::{Call, Outcome};
use crate::service::Stored;

impl Call<'_> {
    pub(super) async fn read(&self) -> Outcome {
        let Some(id) = &self.target.id else { return self.list().await };
        let key = self.target.key(id);
        let condition = Condition::of(self.headers)?;
        let stored = self.api.service.get(&self.who, &key).await?;
        let mut stored = stored.ok_or_else(Answer::key_not_found)?;
        if condition.read(&key, stored.modified)? {
            return Ok(Answer::empty(StatusCode::NOT_MODIFIED).at(stored.modified));
        }
        strip(&mut stored);
        Ok(self.api.form.envelopes.one(&stored))
    }

    async fn list(&self) -> Outcome {
        let mut kept = self.all().await?;
        // Credentials have no placeholder folder in etcd, so an empty list is no list.
        if kept.is_empty() && self.target.kind == Kind::Credential {
            return Err(Answer::key_not_found());
        }
        let envelopes = self.api.form.envelopes;
        let mut total = kept.len();
        if envelopes == Envelopes::V3 {
            let filter = Filter::of(self.target.kind, &self.args)?;
            let mut found = Vec::with_capacity(kept.len());
            for stored in kept {
                if filter.keeps(&stored.value)? {
                    found.push(stored);
                }
            }
            kept = found;
            total = kept.len();
            if let Some(page) = Page::of(&self.args)? {
                kept.sort_by_key(|stored| stored.created);
                kept = page.cut(kept);
            }
        }
        kept.iter_mut().for_each(strip);
        Ok(envelopes.list(total, &kept, &folder(self.target.kind, self.target.parent.as_deref())))
    }

    /// All of a collection, in byte order of their keys.
    async fn all(&self) -> Result<Vec<Stored>, Answer> {
        let service = &self.api.service;
        Ok(match (self.target.kind, &self.target.parent) {
            (Kind::Credential, Some(consumer)) => service.list_credentials(&self.who, consumer).await?,
            (Kind::CostDecoration, Some(above)) => {
                let above = Some(Key::new(Kind::Service, above));
                let mut all = service.list(&self.who, Kind::CostDecoration).await?;
                all.retain(|stored| stored.key.parent() == above);
                all
            }
            // Also where a secret's manager is named: APISIX lists those of all managers.
            (kind, _) => service.list(&self.who, kind).await?,
        })
    }
}
