//! `usher status --ready`: asks the status port, without a key, for health checks of containers and services: images have no curl.

use std::time::Duration;

use reqwest::Url;

use super::failure::{Code, Failure};
use crate::terminal::say;

/// The status port of this machine, where nobody says otherwise.
pub(crate) const USUAL: &str = "http://127.0.0.1:7085";

/// How long the answer may take.
const WITHIN: Duration = Duration::from_secs(3);

/// Says "ready", or fails with the reason why not.
pub(crate) async fn check(base: &str) -> anyhow::Result<()> {
    let url = Url::parse(base).and_then(|base| base.join("/status/ready")).map_err(|_| {
        Failure::new(Code::Usage, format!("{base:?} is no address of a status port"))
            .next(format!("write one such as {USUAL}"))
    })?;
    let away = |why: String| {
        Failure::new(Code::Away, why).at(url.to_string()).next(
            "start it with --status-listen 127.0.0.1:7085, or name its status port: usher status --ready URL",
        )
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(WITHIN)
        .build()
        .map_err(|error| away(error.to_string()))?;
    let answer = client.get(url.clone()).send().await;
    let answer = answer.map_err(|_| away("no status port answers".to_owned()))?;
    let status = answer.status();
    if status.is_success() {
        return say("ready");
    }
    let body: serde_json::Value = answer.json().await.unwrap_or_default();
    let why = body.get("error").and_then(serde_json::Value::as_str).unwrap_or("no reason was told");
    Err(Failure::new(Code::Away, format!("not ready ({}): {}", status.as_u16(), super::output::clean(why)))
        .at(url.to_string())
        .into())
}
