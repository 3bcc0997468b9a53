//! `backup`: everything of the store in one file, Usher's own records among it. Secrets in it stay sealed.

use super::answer::{Answer, Bare};
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;

/// `GET /backup`.
pub(super) async fn read(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Bare>, Refusal> {
    let archive = call.service.backup(&call.who).await?;
    Ok(Answer::bare("application/x-ndjson", archive))
}
