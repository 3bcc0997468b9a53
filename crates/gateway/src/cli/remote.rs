//! A running Usher, asked through `/usher/v1` on its Admin port.

use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Args;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use usher_model::secret::Secret;

use super::failure::{Code, Failure};
use crate::terminal;

/// Where an Usher's Admin port is, where nobody says otherwise.
const USUAL: &str = "http://127.0.0.1:9180";
/// The key that `usher serve` makes in its folder, where nobody says otherwise.
const USUAL_KEY: &str = "usher-data/admin.key";
/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long one answer may take: a plan of a hundred thousand objects is checked whole.
const ANSWER_WITHIN: Duration = Duration::from_secs(600);
/// How long a conversation may go on about one sentence: a model thinks for minutes, and so does a person.
const EVENTS_WITHIN: Duration = Duration::from_secs(3600);

/// Which Usher is asked, and with which key. The key itself is no option: command lines are visible to every user of the machine.
#[derive(Args, Clone, Debug)]
pub(crate) struct Remote {
    /// The Admin port of the running Usher [env: USHER_ADMIN_URL, or else USHER_URL] [default: http://127.0.0.1:9180]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Read the admin key or token from this file [default: USHER_ADMIN_KEY, or else usher-data/admin.key]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Trust the certificates in this PEM file, for https
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Prove ourselves with the certificate and key in this PEM file, for https
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
}

/// A running Usher.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<Secret<String>>,
}

impl Remote {
    /// The Admin port where it usually is, or where `USHER_ADMIN_URL` says: for what looks whether there is one, and goes on without.
    pub(crate) fn usual() -> Self {
        let url = std::env::var("USHER_ADMIN_URL").ok().filter(|url| !url.is_empty());
        Self { url: Some(url.unwrap_or_else(|| USUAL.to_owned())), key_file: None, ca: None, cert: None }
    }

    /// A client for the running Usher. Nothing is sent yet.
    ///
    /// # Errors
    /// A URL that can't be one, or a key that can't be read.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let base = self.base()?;
        let key = self.key(&base)?;
        if key.is_some() && base.scheme() == "http" && !is_here(&base) {
            terminal::complain(&format!(
                "warning: the key goes to {} unencrypted; use https where others can listen on the way",
                base.host_str().unwrap_or_default()
            ));
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("usher-cli/", env!("CARGO_PKG_VERSION")))
            // A proxy on the way would see the key.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN);
        if let Some(path) = &self.ca {
            let pem = read(path, "--ca")?;
            let found = reqwest::Certificate::from_pem_bundle(&pem).ok().filter(|all| !all.is_empty());
            let found = found.ok_or_else(|| unusable(path, "--ca", "no certificate in PEM"))?;
            for certificate in found {
                builder = builder.add_root_certificate(certificate);
            }
        }
        if let Some(path) = &self.cert {
            let pem = read(path, "--cert")?;
            let identity = reqwest::Identity::from_pem(&pem);
            builder = builder.identity(
                identity
                    .map_err(|_| unusable(path, "--cert", "no certificate with its private key in PEM"))?,
            );
        }
        let http = builder.build().context("could not set up a connection")?;
        Ok(Client { http, base, key })
    }

    /// The Admin port's address.
    ///
    /// # Errors
    /// It can't be one.
    pub(crate) fn base(&self) -> anyhow::Result<Url> {
        let from_environment = || {
            let set = |name| std::env::var(name).ok().filter(|url: &String| !url.is_empty());
            set("USHER_ADMIN_URL").or_else(|| set("USHER_URL"))
        };
        let text = self.url.clone().or_else(from_environment).unwrap_or_else(|| USUAL.to_owned());
        let wrong = || {
            Failure::new(Code::Usage, format!("{text:?} is no address of an Usher"))
                .next(format!("write one such as {USUAL}"))
        };
        let url = Url::parse(&text).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || url.query().is_some() {
            return Err(wrong().into());
        }
        Ok(url)
    }

    /// The key to come with, if there is one. The one that lies in the folder of a server is for that server: it is never sent elsewhere.
    fn key(&self, base: &Url) -> anyhow::Result<Option<Secret<String>>> {
        if let Some(path) = &self.key_file {
            let text = String::from_utf8(read(path, "--key-file")?).unwrap_or_default();
            let key = text.trim().to_owned();
            if key.is_empty() {
                let what = format!("{} holds no key", path.display());
                return Err(Failure::new(Code::Usage, what).next("name another file with --key-file").into());
            }
            return Ok(Some(Secret::new(key)));
        }
        if let Some(key) = std::env::var("USHER_ADMIN_KEY").ok().filter(|key| !key.is_empty()) {
            return Ok(Some(Secret::new(key)));
        }
        if !is_here(base) {
            return Ok(None);
        }
        match fs::read_to_string(USUAL_KEY) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|key| !key.is_empty()).map(Secret::new)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => {
                tracing::warn!(%error, file = USUAL_KEY, "the admin key can't be read");
                Ok(None)
            }
        }
    }
}

/// Whether this machine itself is asked.
pub(crate) fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

fn read(path: &Path, option: &str) -> anyhow::Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        Failure::new(Code::Usage, format!("{option}: could not read {}: {error}", path.display())).into()
    })
}

fn unusable(path: &Path, option: &str, what: &str) -> Failure {
    Failure::new(Code::Usage, format!("{option}: {} holds {what}", path.display())).next("name another file")
}

impl Client {
    /// What is at a path below `/usher/v1`.
    ///
    /// # Errors
    /// [`Failure`]: nobody answers, or the answer is a refusal.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Value> {
        let url = self.url(path, query);
        json(&self.send(Method::GET, url, None).await?)
    }

    /// The same as bytes.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) async fn bytes(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Vec<u8>> {
        let url = self.url(path, query);
        let Reply { status, body } = self.send(Method::GET, url, None).await?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body).into()) }
    }

    /// The same piece by piece, as it comes.
    ///
    /// # Errors
    /// As for [`Client::get`], what `take` says, and an answer that was cut off.
    pub(crate) async fn pieces(
        &self,
        path: &[&str],
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut response = self.response(Method::GET, self.url(path, &[]), None).await?;
        let status = response.status();
        if !status.is_success() {
            let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
            return Err(refusal(status, &body).into());
        }
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            take(&piece)?;
        }
        Ok(())
    }

    /// Sends a body to a path below `/usher/v1`.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        let url = self.url(path, &[]);
        json(&self.send(Method::POST, url, Some(body)).await?)
    }

    /// The same, with a refusal's body beside its failure.
    ///
    /// # Errors
    /// As for [`Client::get`], but for refusals.
    pub(crate) async fn try_post(
        &self,
        path: &[&str],
        body: &Value,
    ) -> anyhow::Result<Result<Value, (Failure, Value)>> {
        let url = self.url(path, &[]);
        let Reply { status, body } = self.send(Method::POST, url, Some(body)).await?;
        let value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() { Ok(Ok(value)) } else { Ok(Err((refusal(status, &body), value))) }
    }

    /// Sends a body to a path below `/usher/v1` that answers with events as long as it has some; `take` is given each one's data.
    ///
    /// # Errors
    /// As for [`Client::get`], what `take` says, and an answer that was cut off.
    pub(crate) async fn events<F>(
        &self,
        path: &[&str],
        body: &Value,
        mut take: impl FnMut(Value) -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let request = self.request(Method::POST, self.url(path, &[]), Some(body)).timeout(EVENTS_WITHIN);
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if !status.is_success() {
            let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
            return Err(refusal(status, &body).into());
        }
        let mut text = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            text.extend_from_slice(&piece);
            while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = text.drain(..end + 2).collect();
                let data = String::from_utf8_lossy(&event);
                let data = data.lines().find_map(|line| line.strip_prefix("data: "));
                if let Some(data) = data.and_then(|data| serde_json::from_str(data).ok()) {
                    take(data).await?;
                }
            }
        }
        Ok(())
    }

    /// Puts a body at a path below `/usher/v1`.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) async fn put(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        let url = self.url(path, &[]);
        json(&self.send(Method::PUT, url, Some(body)).await?)
    }

    /// Deletes what is at a path below `/usher/v1`.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub(crate) async fn delete(&self, path: &[&str]) -> anyhow::Result<Value> {
        let url = self.url(path, &[]);
        json(&self.send(Method::DELETE, url, None).await?)
    }

    /// What time it is there, to the second.
    pub(crate) async fn date(&self) -> Option<SystemTime> {
        let url = self.url(&["openapi.json"], &[]);
        let answer = self.http.head(url).send().await.ok()?;
        let date = answer.headers().get(reqwest::header::DATE)?.to_str().ok()?;
        let stamp = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
        Some(stamp.into())
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut steps) = url.path_segments_mut() {
            steps.pop_if_empty().extend(["usher", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn request(&self, method: Method, url: Url, body: Option<&Value>) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, url);
        if let Some(key) = &self.key {
            request = request.header("X-API-KEY", key.expose());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request
    }

    async fn response(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> anyhow::Result<reqwest::Response> {
        let request = self.request(method, url, body);
        Ok(request.send().await.map_err(|error| self.unreachable(&error))?)
    }

    async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> anyhow::Result<Reply> {
        let response = self.response(method, url, body).await?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok(Reply { status, body: body.into() })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut innermost: &dyn Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let what =
            if error.is_timeout() { "did not answer in time".to_owned() } else { innermost.to_string() };
        let base = self.base.as_str().trim_end_matches('/');
        let failure = Failure::new(Code::Away, format!("could not reach Usher at {base}: {what}"));
        failure.next(
            "start it with `usher serve`, or name its Admin port with --url; `usher doctor` looks for causes",
        )
        .see("away")
    }
}

struct Reply {
    status: StatusCode,
    body: Vec<u8>,
}

fn json(reply: &Reply) -> anyhow::Result<Value> {
    if !reply.status.is_success() {
        return Err(refusal(reply.status, &reply.body).into());
    }
    serde_json::from_slice(&reply.body).map_err(|_| {
        Failure::new(Code::Failed, "the answer is no JSON, so it is no Usher's")
            .next("name the Admin port with --url")
            .into()
    })
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    Failure::of_answer(status.as_u16(), &value)
}
