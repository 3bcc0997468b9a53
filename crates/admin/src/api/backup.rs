//! `backup`: everything of the store in one file, Usher's own records among it. Secrets in it stay sealed.

use axum::body::Body;
use futures_util::stream::unfold;

use super::answer::{Answer, Bare};
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;

/// `GET /backup`.
pub(super) async fn read(call: Call, _: Nothing, _: Nothing) -> Result<Answer<Bare>, Refusal> {
    let pieces = call.service.backup(&call.who).await?;
    let pieces = unfold(pieces, |mut pieces| async move { Some((pieces.next().await?, pieces)) });
    // What breaks on the way cuts the answer off, which whoever reads it notices.
    Ok(Answer::bare("application/x-ndjson", Body::from_stream(pieces)))
}
