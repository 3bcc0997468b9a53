//! GET of one resource or of a collection.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use usher_model::kind::Kind;

use super::answer::Answer;
use super::filter::{Filter, Page};
use super::{Call, Outcome};
use crate::service::Stored;

/// A resource as a GET shows it.
#[derive(Serialize)]
struct Shown<'a> {
    key: String,
    value: &'a Value,
    #[serde(rename = "createdIndex")]
    created: u64,
    #[serde(rename = "modifiedIndex")]
    modified: u64,
}

/// A collection as a GET shows it.
#[derive(Serialize)]
struct Listed<'a> {
    total: usize,
    list: Vec<Shown<'a>>,
}

impl<'a> Shown<'a> {
    fn of(stored: &'a Stored) -> Self {
        Self {
            key: stored.key.path(),
            value: &stored.value,
            created: stored.created,
            modified: stored.modified,
        }
    }
}

impl Call<'_> {
    pub(super) async fn read(&self) -> Outcome {
        let Some(id) = &self.target.id else { return self.list().await };
        let stored = self.api.service.get(&self.who, &self.target.key(id)).await?;
        let stored = stored.ok_or_else(Answer::key_not_found)?;
        Ok(Answer::json(StatusCode::OK, &Shown::of(&stored)).at(stored.modified))
    }

    async fn list(&self) -> Outcome {
        let service = &self.api.service;
        let all = match &self.target.consumer {
            Some(consumer) => service.list_credentials(&self.who, consumer).await?,
            None => service.list(&self.who, self.target.kind).await?,
        };
        // Credentials have no placeholder folder in etcd, so an empty list is no list.
        if all.is_empty() && self.target.kind == Kind::Credential {
            return Err(Answer::key_not_found());
        }
        let filter = Filter::of(self.target.kind, &self.args)?;
        let mut kept = Vec::with_capacity(all.len());
        for stored in all {
            if filter.keeps(&stored.value)? {
                kept.push(stored);
            }
        }
        let total = kept.len();
        if let Some(page) = Page::of(&self.args)? {
            kept.sort_by_key(|stored| stored.created);
            kept = page.cut(kept);
        }
        let listed = Listed { total, list: kept.iter().map(Shown::of).collect() };
        Ok(Answer::json(StatusCode::OK, &listed))
    }
}
