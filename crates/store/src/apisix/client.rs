//! Requests to an APISIX's Admin API.

use reqwest::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use reqwest::{Certificate, Client, Method, Response, StatusCode};
use serde_json::Value;
use usher_model::secret::Secret;

use super::Options;
use crate::StoreError;

/// The largest answer that is read, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// Characters of an answer that are repeated in a sentence.
const TOLD: usize = 300;

/// The far side.
#[derive(Debug)]
pub(super) struct Far {
    http: Client,
    address: String,
    key: Secret<String>,
}

/// Why a request did not do what it was for.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// It can't be reached, or can't answer at the moment. Whether a write was done isn't known.
    Away(String),
    /// It answered that it won't.
    Refused {
        /// Its status.
        status: u16,
        /// Its sentence.
        sentence: String,
    },
}

impl Trouble {
    /// As a sentence.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Away(sentence) => sentence.clone(),
            Self::Refused { status, sentence } => format!("it answered {status}: {sentence}"),
        }
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(sentence) => Self::Unavailable(sentence),
            Trouble::Refused { status: 401 | 403, sentence } => Self::Unavailable(format!(
                "the APISIX refuses the key: {sentence}; give one with the role admin"
            )),
            refused => Self::Refused(refused.sentence()),
        }
    }
}

/// An answer with a body.
pub(super) struct Read {
    pub(super) body: Value,
    pub(super) etag: Option<String>,
}

impl Far {
    /// Prepares the connection; nothing is sent yet.
    ///
    /// # Errors
    /// The certificates can't be read, or TLS can't be set up.
    pub(super) fn new(options: &Options) -> Result<Self, StoreError> {
        let builder = Client::builder()
            .timeout(options.timeout)
            .connect_timeout(options.timeout)
            // The key goes to the address that was named and to no other, not even a proxy.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_danger_accept_invalid_certs(!options.verify);
        let builder = match &options.ca {
            None => builder,
            Some(path) => {
                let failed = |reason: String| StoreError::Folder { place: path.clone(), reason };
                let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
                let all = Certificate::from_pem_bundle(&pem).map_err(|error| failed(chain(&error)))?;
                builder.tls_certs_only(all)
            }
        };
        let http = builder.build().map_err(|error| StoreError::Unavailable(chain(&error)))?;
        Ok(Self { http, address: options.address.clone(), key: options.key.clone() })
    }

    /// Reads a path below `/apisix/admin`; `None` where nothing is there.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Read>, Trouble> {
        let response = self.send(Method::GET, path, None, None).await?;
        let status = response.status();
        let etag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = self.body(response).await?;
        // A collection that it doesn't have is no missing object.
        if status == StatusCode::NOT_FOUND && body.get("error_msg").is_none() {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(self.refused(status, &body));
        }
        if body.get("node").is_some() {
            return Err(
                self.away("it answers in the form of v2; set deployment.admin.admin_api_version: v3 there")
            );
        }
        Ok(Some(Read { body, etag }))
    }

    /// Writes a path below `/apisix/admin`, where an `ETag` is given only as that version.
    pub(super) async fn write(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<(), Trouble> {
        let response = self.send(method, path, body, etag).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let body = self.body(response).await.unwrap_or_default();
        Err(self.refused(status, &body))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Response, Trouble> {
        let url = format!("{}/apisix/admin{path}", self.address);
        let mut request = self.http.request(method, url).header("X-API-KEY", self.key.expose());
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        if let Some(etag) = etag {
            request = request.header(IF_MATCH, etag);
        }
        request.send().await.map_err(|error| self.away(&chain(&error.without_url())))
    }

    async fn body(&self, mut response: Response) -> Result<Value, Trouble> {
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() <= MOST_BYTES => bytes.extend_from_slice(&chunk),
                Ok(Some(_)) => return Err(self.away(&format!("an answer has more than {MOST_BYTES} bytes"))),
                Ok(None) => break,
                Err(error) => return Err(self.away(&chain(&error.without_url()))),
            }
        }
        // nginx's own pages are no JSON; the status says enough then.
        let text = || String::from_utf8_lossy(&bytes).chars().take(TOLD).collect::<String>().into();
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
    }

    fn refused(&self, status: StatusCode, body: &Value) -> Trouble {
        let said = ["error_msg", "message", "description"].into_iter().find_map(|name| body.get(name));
        let said = match said.unwrap_or(body) {
            Value::String(text) => text.chars().take(TOLD).collect(),
            other => other.to_string().chars().take(TOLD).collect::<String>(),
        };
        match status.as_u16() {
            500.. | 429 => self.away(&format!("it answered {}: {said}", status.as_u16())),
            status => Trouble::Refused { status, sentence: said },
        }
    }

    fn away(&self, reason: &str) -> Trouble {
        Trouble::Away(format!("the APISIX at {}: {reason}", self.address))
    }
}

/// An error with everything below it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        said = format!("{said}: {error}");
        next = error.source();
    }
    said
}
