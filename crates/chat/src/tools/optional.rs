//! The tools of the sets that an operator switches on. All of them only read, through the service like every other tool, so that a scope hides there what it
//! hides elsewhere and secrets are masked.

mod certificates;
mod export;
mod models;
mod raw;
mod search;

use super::arguments::Arguments;
use super::refusal::Refusal;
use super::{Answer, Call};
use futures_util::future::BoxFuture;

impl Call<'_> {
    /// Calls a tool of a set that is on.
    pub(super) fn optional<'a>(
        &'a self,
        name: &'a str,
        arguments: &'a Arguments,
    ) -> BoxFuture<'a, Result<Answer, Refusal>> {
        Box::pin(async move {
            match name {
                "search" => self.search(arguments).await,
                "fetch" => self.fetch(arguments).await,
                "gateway_certificates" => self.certificates(arguments).await,
                "gateway_export" => self.export(arguments).await,
                "gateway_models" => self.models().await,
                "gateway_raw_get" => self.raw_get(arguments).await,
                _ => Err(super::unknown_tool(name)),
            }
        })
    }
}
