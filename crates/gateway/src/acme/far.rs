//! How an authority is spoken to: over https alone, without redirects, with a bound on time and on what it may answer.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How large it may be: a chain of certificates is some kilobytes.
const MOST_BYTES: usize = 1024 * 1024;

/// A client of an authority.
#[derive(Clone)]
pub(super) struct Far(reqwest::Client);

impl Far {
    /// One that trusts the system's certificates, and those in this file in PEM.
    ///
    /// # Errors
    /// The file can't be used.
    pub(super) fn new(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("usher/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(ANSWER_WITHIN)
            .timeout(ANSWER_WITHIN);
        if let Some(path) = ca_file {
            let pem = std::fs::read(path)
                .with_context(|| format!("acme.ca_file: could not read {}", path.display()))?;
            let found = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if found.is_empty() {
                bail!("acme.ca_file: {} holds no certificate in PEM", path.display());
            }
            for certificate in found {
                builder = builder.add_root_certificate(certificate);
            }
        }
        Ok(Self(builder.build().context("could not set up a connection")?))
    }
}

impl HttpClient for Far {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let body = body.to_bytes();
            let asked = client
                .request(parts.method, parts.uri.to_string())
                .headers(parts.headers)
                .body(body)
                .send()
                .await
                .map_err(other)?;
            let mut head = http::Response::new(()).into_parts().0;
            head.status = asked.status();
            head.headers.clone_from(asked.headers());
            let mut whole = Vec::new();
            let mut pieces = asked.bytes_stream();
            while let Some(piece) = pieces.next().await {
                whole.extend_from_slice(&piece.map_err(other)?);
                if whole.len() > MOST_BYTES {
                    return Err(Error::Str("an answer of the authority that isn't larger than 1 MiB"));
                }
            }
            Ok(BytesResponse { parts: head, body: Box::new(Bytes::from(whole)) })
        })
    }
}

/// With every cause, so that a person reads which certificate wasn't trusted or which name wasn't found.
fn other(error: reqwest::Error) -> Error {
    Error::Other(format!("{:#}", anyhow::Error::new(error.without_url())).into())
}
