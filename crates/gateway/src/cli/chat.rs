//! `usher chat`: a conversation with a running Usher, in plain sentences or through a model.

use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use usher_chat::assistant::{Assistant, Event, ModelOptions};
use usher_chat::client::{Connection, Person};
use usher_model::secret::Secret;

use super::ask;
use crate::terminal::{Style, say};

/// Options of `usher chat`.
#[derive(Args, Debug)]
pub(crate) struct Chat {
    /// One sentence; without it a conversation begins
    #[arg(value_name = "SENTENCE")]
    pub(crate) sentence: Vec<String>,
    /// The chat side of the running Usher
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5000", env = "USHER_URL")]
    pub(crate) url: String,
    /// Agree to every plan without being asked: for scripts
    #[arg(long)]
    pub(crate) yes: bool,
    /// An OpenAI-compatible endpoint, such as `https://api.openai.com/v1`; without it plain sentences are understood
    #[arg(long, value_name = "URL", env = "USHER_MODEL_URL")]
    pub(crate) model_url: Option<String>,
    /// The model's name there
    #[arg(long, value_name = "NAME", env = "USHER_MODEL", default_value = "gpt-5")]
    pub(crate) model: String,
    /// Ask for whole answers instead of streams
    #[arg(long)]
    pub(crate) no_stream: bool,
}

impl Chat {
    /// Talks until the end of input.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let style = Style::detect();
        let person: Arc<dyn Person> = Arc::new(Asked { yes: self.yes, style });
        let connection = Connection::open(&self.url, person).await?;
        let assistant = match &self.model_url {
            None => Assistant::plain(connection),
            Some(base_url) => Assistant::with_model(connection, self.model_options(base_url)),
        };
        if !self.sentence.is_empty() {
            let understood = hear(&assistant, &self.sentence.join(" "), style).await?;
            anyhow::ensure!(understood, "not done; see above");
            return Ok(());
        }
        converse(&assistant, style).await
    }

    fn model_options(&self, base_url: &str) -> ModelOptions {
        // The key is no option: command lines are visible to every user of the machine.
        let key = std::env::var("USHER_MODEL_KEY").or_else(|_| std::env::var("OPENAI_API_KEY"));
        ModelOptions {
            base_url: base_url.to_owned(),
            api_key: key.ok().map(Secret::new),
            model: self.model.clone(),
            stream: !self.no_stream,
        }
    }
}

/// Says one sentence and prints what comes back. `false` when it was not understood or refused.
async fn hear(assistant: &Assistant, sentence: &str, style: Style) -> anyhow::Result<bool> {
    let outcome = assistant
        .say(sentence, &mut |event| {
            let shown = match event {
                Event::Say(text) => text.to_owned(),
                Event::Plan(text) => style.diff(text),
                Event::Applied { revision } => {
                    style.dim(&format!("applied, in force since revision {revision}"))
                }
                Event::Tool { name } => style.dim(&format!("[{name}]")),
            };
            // The next line that can't be printed ends the conversation.
            let _ = say(&shown);
        })
        .await?;
    Ok(outcome.done)
}

async fn converse(assistant: &Assistant, style: Style) -> anyhow::Result<()> {
    let terminal = std::io::stdin().is_terminal();
    if terminal {
        say(
            "Talk to the gateway. `help` lists what can be said without a model; `quit`, an empty line or Ctrl-D ends.",
        )?;
    }
    loop {
        let line = tokio::task::spawn_blocking(move || read_line(terminal))
            .await
            .context("the line reader stopped")??;
        let Some(line) = line.filter(|line| !is_goodbye(line)) else { return Ok(()) };
        if let Err(error) = hear(assistant, line.trim(), style).await {
            say(&format!("{error:#}"))?;
        }
    }
}

/// Whether a line ends the conversation.
fn is_goodbye(line: &str) -> bool {
    matches!(line.trim().to_lowercase().as_str(), "" | "exit" | "quit" | "bye")
}

fn read_line(terminal: bool) -> anyhow::Result<Option<String>> {
    if !terminal {
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line).context("could not read standard input")?;
        return Ok((read > 0).then_some(line));
    }
    match DefaultEditor::new()?.readline("you> ") {
        Ok(line) => Ok(Some(line)),
        Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
        Err(error) => Err(error).context("could not read the terminal"),
    }
}

/// The person at the terminal. Without one, nothing is agreed to unless `--yes` says so.
struct Asked {
    yes: bool,
    style: Style,
}

impl Person for Asked {
    fn confirm(&self, question: &str) -> bool {
        if self.yes {
            return true;
        }
        if !ask::is_anybody_here() {
            // Nobody can answer; the sentence reaches whoever reads the output.
            let _ =
                say("Nobody is here to agree to this plan, so it is not applied; --yes agrees beforehand.");
            return false;
        }
        ask::agrees(question, self.style)
    }
}
