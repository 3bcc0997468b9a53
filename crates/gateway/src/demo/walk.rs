//! The article's conversation, held through the real chat path: assistant, MCP over HTTP, admin service, proxy.
//!
//! Each step checks what it sees; the first that sees something else ends the walk with the reason.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use usher_chat::assistant::{Assistant, Event};
use usher_chat::client::{Connection, Person};
use usher_model::change::{Door, Edit, Principal, Role};
use usher_model::kind::{Key, Kind};

use crate::server::Server;
use crate::terminal::{Style, say};

const CREATE: &str =
    "Create a route for GET /speaker/* to the conference API, ten requests a minute per client";

/// Holds the conversation.
///
/// # Errors
/// The first step that went another way than it should.
pub(crate) async fn hold(server: &Server, api: SocketAddr, style: Style) -> anyhow::Result<()> {
    let chat =
        server.addresses().chat.first().context("the walk needs the chat side; leave --chat-listen on")?;
    let gateway =
        *server.addresses().proxy.first().context("the walk needs the gateway; leave --proxy-listen on")?;
    register_upstream(server, api).await?;
    let person = Arc::new(Agrees { style });
    let connection = Connection::open(&format!("http://{chat}"), person).await?;
    let walk = Walk { talk: Assistant::plain(connection), gateway, client: client()?, style };
    walk.hold().await
}

/// The conference API is a known upstream, as a platform team would have registered it.
async fn register_upstream(server: &Server, api: SocketAddr) -> anyhow::Result<()> {
    let key = Key::new(Kind::Upstream, "conference-api");
    let upstream = serde_json::json!({
        "name": "conference API", "desc": "the sample backend of the demo", "type": "roundrobin", "nodes": { api.to_string(): 1 },
    });
    let who = Principal::new("demo", Role::Admin, Door::Usher);
    let wanted = usher_admin::service::Wanted {
        edits: vec![Edit { key, after: Some(upstream) }],
        intent: Some("register the sample conference API".to_owned()),
        ..Default::default()
    };
    server.service().write(&who, wanted).await.context("could not register the conference API")?;
    Ok(())
}

fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(std::time::Duration::from_secs(10))
        .build()
        .context("could not make an HTTP client")
}

/// The person of the demo: sees the question and agrees.
struct Agrees {
    style: Style,
}

impl Person for Agrees {
    fn confirm(&self, question: &str) -> bool {
        let asked = format!("  {question}\n  {} yes", self.style.bold("you>"));
        say(&asked).is_ok()
    }
}

struct Walk {
    talk: Assistant,
    gateway: SocketAddr,
    client: reqwest::Client,
    style: Style,
}

impl Walk {
    async fn hold(&self) -> anyhow::Result<()> {
        let listed = self.ask("Show all routes").await?;
        ensure!(
            listed.said.to_lowercase().contains("no routes"),
            "the walk begins with an empty gateway, but this one has routes; leave --data out, name a new folder, \
             or start `usher serve` on this one: {}",
            listed.said
        );

        let created = self.ask(CREATE).await?;
        ensure!(created.applied, "the route was not applied: {}", created.said);

        let listed = self.ask("Show all routes").await?;
        ensure!(listed.said.contains("/speaker/*"), "the new route should be listed, but: {}", listed.said);

        self.sessions().await?;
        self.exhaust().await?;

        let undone = self.ask("Undo that").await?;
        ensure!(undone.applied, "the change was not undone: {}", undone.said);
        let (status, body) = self.get("/speaker/1/sessions").await?;
        self.show(&format!("{status}  {}", body.trim()))?;
        ensure!(status == 404, "after the undo the gateway should answer 404, not {status}");

        let created = self.ask(CREATE).await?;
        ensure!(created.applied, "the route was not created once more: {}", created.said);
        Ok(())
    }

    /// One request with its answer, as a person would see it.
    async fn sessions(&self) -> anyhow::Result<()> {
        let (status, body) = self.get("/speaker/1/sessions").await?;
        ensure!(status == 200, "the gateway should answer 200, not {status}: {body}");
        let document: serde_json::Value =
            serde_json::from_str(&body).context("the sessions should be JSON")?;
        let items = document.pointer("/collection/items").and_then(serde_json::Value::as_array);
        let items = items.filter(|items| !items.is_empty()).context("the speaker should have sessions")?;
        let titles: Vec<&str> = items
            .iter()
            .filter_map(|item| item.pointer("/data/0/value").and_then(serde_json::Value::as_str))
            .collect();
        self.show(&format!("{status}  {} sessions: {}", items.len(), titles.join("; ")))
    }

    /// Requests until the limit of ten a minute refuses; the check that followed the plan was a request of this client too.
    async fn exhaust(&self) -> anyhow::Result<()> {
        /// Of ten: one went to verify the change, and one was the person's own.
        const LEFT: u32 = 8;
        let mut passed = 0;
        for _ in 0..11 {
            let (status, _) = self.send("/speaker/1/sessions").await?;
            match status {
                200 => passed += 1,
                429 if passed < LEFT => {
                    bail!("a request was refused with 429 after {passed} more, and {LEFT} were left")
                }
                429 => {
                    self.show(&format!(
                        "{passed} more requests passed, then the 11th of this minute was refused: 429"
                    ))?;
                    return Ok(());
                }
                other => bail!("the gateway answered {other} while the limit was being used up"),
            }
        }
        bail!("the 11th request should be refused with 429, but {passed} more passed")
    }

    async fn ask(&self, sentence: &str) -> anyhow::Result<Heard> {
        say(&format!("{} {sentence}", self.style.bold("you>")))?;
        let mut heard = Heard::default();
        self.talk
            .say(sentence, &mut |event| {
                let shown = match event {
                    Event::Say(text) => {
                        heard.said.push_str(text);
                        heard.said.push('\n');
                        format!("{} {}", self.style.bold("usher>"), indent(text))
                    }
                    Event::Plan(text) => format!("  {}", indent(&self.style.diff(text))),
                    Event::Applied { revision } => {
                        heard.applied = true;
                        self.style.dim(&format!("  applied, in force since revision {revision}"))
                    }
                    Event::Tool { name } => self.style.dim(&format!("  [{name}]")),
                };
                // A closed terminal ends the walk at its next line.
                let _ = say(&shown);
            })
            .await
            .with_context(|| format!("the sentence {sentence:?} failed"))?;
        say("")?;
        Ok(heard)
    }

    async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        say(&format!("{} curl http://localhost:{}{path}", self.style.bold("$"), self.gateway.port()))?;
        self.send(path).await
    }

    async fn send(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let url = format!("http://{}{path}", self.gateway);
        let answer = self.client.get(&url).send().await.with_context(|| format!("no answer from {url}"))?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.with_context(|| format!("a torn answer from {url}"))?))
    }

    fn show(&self, text: &str) -> anyhow::Result<()> {
        say(&format!("  {text}\n"))
    }
}

/// What the assistant said to one sentence.
#[derive(Default)]
struct Heard {
    said: String,
    applied: bool,
}

fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n  ")
}
