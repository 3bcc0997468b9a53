//! A conversation with the running Usher's own chat, where a model leads it: the model's key stays with the gateway.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Url;
use serde_json::{Value, json};
use usher_chat::assistant::Event;
use usher_chat::client::Person;

use super::super::remote::{Client, Remote, is_here};

/// How long it is looked whether there is one.
const LOOK: Duration = Duration::from_secs(3);

/// The chat of a running Usher.
pub(super) struct Served {
    /// What its model is called.
    pub(super) model: String,
    client: Client,
    person: Arc<dyn Person>,
    conversation: Mutex<Option<String>>,
}

impl Served {
    /// The chat of the Usher whose chat side this is, where one may speak at its Admin port and a model leads; `None` otherwise.
    pub(super) async fn find(chat_side: &str, person: Arc<dyn Person>) -> Option<Self> {
        let client = Remote::usual().client().ok()?;
        let status = tokio::time::timeout(LOOK, client.get(&["status"], &[])).await.ok()?;
        let status =
            status.inspect_err(|error| tracing::debug!(%error, "no model of a gateway is used")).ok()?;
        let model = status.get("chat_model")?.as_str()?.to_owned();
        let sides = status.get("sides").and_then(Value::as_array).into_iter().flatten();
        let mut addresses = sides.filter_map(|side| side.get("address")?.as_str());
        let chat_side = Url::parse(chat_side).ok()?;
        // Another Usher may be the one at the usual Admin port.
        addresses.any(|address| is_at(&chat_side, address)).then_some(())?;
        Some(Self { model, client, person, conversation: Mutex::default() })
    }

    /// Says one sentence. `false` when it was not understood or refused.
    ///
    /// # Errors
    /// Usher or its model can't be reached, or makes no sense.
    pub(super) async fn say(
        &self,
        sentence: &str,
        hear: &mut (dyn FnMut(Event<'_>) + Send + Sync),
    ) -> anyhow::Result<bool> {
        let mut body = json!({ "sentence": sentence });
        if let Some(known) = &*self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
            && let Some(members) = body.as_object_mut()
        {
            members.insert("conversation".to_owned(), known.clone().into());
        }
        let mut ended = None;
        self.client
            .events(&["chat"], &body, |event| {
                let question = self.told(&event, hear);
                if event.get("event").and_then(Value::as_str) == Some("ended") {
                    ended = Some(event);
                }
                self.answer(question)
            })
            .await?;
        let ended = ended.context("the conversation broke off; `usher history` shows what was applied")?;
        if let Some(error) = ended.get("error").and_then(Value::as_str) {
            anyhow::bail!("{error}");
        }
        Ok(ended.get("done").and_then(Value::as_bool).unwrap_or_default())
    }

    /// Passes an event on; the id and the text of a question.
    fn told(
        &self,
        event: &Value,
        hear: &mut (dyn FnMut(Event<'_>) + Send + Sync),
    ) -> Option<(String, String)> {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("event") {
            "conversation" => {
                let known = Some(text("id").to_owned());
                *self.conversation.lock().unwrap_or_else(PoisonError::into_inner) = known;
            }
            "said" => hear(Event::Say(text("text"))),
            "plan" => hear(Event::Plan(text("text"))),
            "tool" => hear(Event::Tool { name: text("name") }),
            "applied" => {
                let revision = event.get("revision").and_then(Value::as_u64).unwrap_or_default();
                hear(Event::Applied { revision });
            }
            "question" => return Some((text("id").to_owned(), text("text").to_owned())),
            _ => {}
        }
        None
    }

    /// Asks the person, and sends what they say.
    async fn answer(&self, question: Option<(String, String)>) -> anyhow::Result<()> {
        let Some((id, text)) = question else { return Ok(()) };
        let person = Arc::clone(&self.person);
        let agree = tokio::task::spawn_blocking(move || person.confirm(&text)).await;
        let body = json!({ "question": id, "agree": agree.context("nobody could be asked")? });
        self.client.post(&["chat", "answers"], &body).await?;
        Ok(())
    }
}

/// Whether a URL leads to a listener at this address.
fn is_at(url: &Url, address: &str) -> bool {
    let Ok(address) = address.parse::<std::net::SocketAddr>() else { return false };
    if url.port_or_known_default() != Some(address.port()) {
        return false;
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_same = host.parse().is_ok_and(|host: std::net::IpAddr| host == address.ip());
    is_same || is_here(url) && (address.ip().is_loopback() || address.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::is_at;

    #[test]
    fn the_same_usher_is_known_by_its_chat_side() {
        for (url, address, wanted) in [
            ("http://127.0.0.1:5000", "127.0.0.1:5000", true),
            ("http://localhost:5000/", "[::1]:5000", true),
            ("http://127.0.0.1:5000", "0.0.0.0:5000", true),
            ("http://10.0.0.1:5000", "10.0.0.1:5000", true),
            ("http://10.0.0.1:5000", "0.0.0.0:5000", false),
            ("http://127.0.0.1:5001", "127.0.0.1:5000", false),
            ("http://a.test:5000", "127.0.0.1:5000", false),
        ] {
            assert_eq!(is_at(&url.parse().unwrap(), address), wanted, "{url} {address}");
        }
    }
}
