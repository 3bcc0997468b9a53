//! An API is published from its OpenAPI document: a plan that makes its service and routes what a document says, however often it is imported.

use futures_util::future::BoxFuture;
use serde_json::Value;
use usher_model::change::Principal;
use usher_model::kind::Kind;
use usher_model::openapi::{self, LABEL, Publish, Published};

use super::plan::Plan;
use super::request::Extent;
use super::{Service, ServiceError};

impl Service {
    /// A plan that publishes an API, or publishes it anew: routes that the document doesn't name any more go, and what somebody has added to the
    /// others stays.
    ///
    /// # Errors
    /// The document can't be published; the service's id belongs to something else; everything is so already; and as for [`Service::plan`].
    pub fn plan_openapi<'a>(
        &'a self,
        who: &'a Principal,
        document: &'a Value,
        wish: &'a Publish,
        intent: Option<String>,
    ) -> BoxFuture<'a, Result<(Plan, Published), ServiceError>> {
        Box::pin(async move {
            let made = |wish: &Publish| {
                openapi::objects(document, wish).map_err(|error| ServiceError::Invalid {
                    sentence: error.to_string(),
                    key: None,
                    pointer: error.at,
                    near: None,
                })
            };
            let mut published = made(wish)?;
            // What chats were given once isn't taken away from them by a newer document.
            if !wish.chat && self.get(who, &openapi::chat_route(&published.id)).await?.is_some() {
                published = made(&Publish { chat: true, ..wish.clone() })?;
            }
            for (key, value) in &mut published.objects {
                let Some(stored) = self.get(who, key).await? else { continue };
                let label =
                    stored.value.get("labels").and_then(|labels| labels.get(LABEL)).and_then(Value::as_str);
                if label != Some(published.id.as_str()) {
                    return Err(ServiceError::Conflict(format!(
                        "{key} is there already, and was not made of this document; publish the API under another id"
                    )));
                }
                // Secrets are masked here; the service knows its own masks and keeps what they stand for.
                *value = openapi::merged(&stored.value, value);
            }
            let extent = Extent {
                kinds: vec![Kind::Service, Kind::Route],
                labels: vec![(LABEL.to_owned(), published.id.clone())],
                delete: true,
            };
            let mut plan = self.plan_document(who, published.objects.clone(), extent, intent).await?;
            plan.warnings.splice(0..0, published.warnings.iter().cloned());
            Ok((plan, published))
        })
    }
}
