//! `usher chat`: a conversation with a running Usher, in plain sentences or through a model.

mod served;

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use clap::Args;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use usher_chat::assistant::{Assistant, Bounds, Budget, Event, ModelApi, ModelOptions, Purse};
use usher_chat::client::{Connection, Person};
use usher_model::secret::Secret;

use self::served::Served;
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
    /// Where a model answers, such as `https://api.openai.com/v1` or `https://api.anthropic.com`; without it the model that the gateway has leads, or plain sentences are understood
    #[arg(long, value_name = "URL", env = "USHER_MODEL_URL")]
    pub(crate) model_url: Option<String>,
    /// The model's name there
    #[arg(long, value_name = "NAME", env = "USHER_MODEL", default_value = "gpt-5")]
    pub(crate) model: String,
    /// How it is asked: completions, responses (OpenAI's) or messages (Anthropic's); what the address says where it isn't given
    #[arg(long, value_name = "API", env = "USHER_MODEL_API")]
    pub(crate) model_api: Option<ModelApi>,
    /// Understand plain sentences, also where the gateway has a model
    #[arg(long, conflicts_with = "model_url")]
    pub(crate) plain: bool,
    /// Write the conversation into this file, as Markdown, behind what it holds already
    #[arg(long, value_name = "FILE")]
    pub(crate) transcript: Option<PathBuf>,
    /// Ask for whole answers instead of streams
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Tokens that the model may cost in this conversation
    #[arg(long, value_name = "TOKENS", env = "USHER_MODEL_BUDGET", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) budget: Option<u64>,
    /// Tell after each answer what it cost; otherwise that is told where the budget is nearly spent
    #[arg(long, short = 'v')]
    pub(crate) verbose: bool,
}

impl Chat {
    /// Talks until the end of input.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let style = Style::detect();
        let transcript = Transcript::open(self.transcript.as_deref())?;
        let person: Arc<dyn Person> = Arc::new(Asked { yes: self.yes, style });
        let partner = self.partner(person, style).await?;
        if !self.sentence.is_empty() {
            let understood = hear(&partner, &self.sentence.join(" "), style, &transcript).await?;
            anyhow::ensure!(understood, "not done; see above");
            return Ok(());
        }
        converse(&partner, style, &transcript).await
    }

    async fn partner(&self, person: Arc<dyn Person>, style: Style) -> anyhow::Result<Partner> {
        if let Some(base_url) = &self.model_url {
            let connection = Connection::open(&self.url, person).await?;
            let conversation = Bounds { tokens: self.budget, calls: None };
            let purse = Arc::new(Purse::new(Budget { conversation, ..Budget::default() }));
            let assistant = Assistant::with_model(connection, self.model_options(base_url));
            return Ok(Partner::Own(assistant.with_purse(purse, "", self.verbose)));
        }
        if !self.plain
            && let Some(served) = Served::find(&self.url, Arc::clone(&person)).await
        {
            say(&style.dim(&format!(
                "{} leads, the model that this gateway has; --plain understands plain sentences",
                served.model
            )))?;
            return Ok(Partner::Served(served));
        }
        Ok(Partner::Own(Assistant::plain(Connection::open(&self.url, person).await?)))
    }

    fn model_options(&self, base_url: &str) -> ModelOptions {
        let options = ModelOptions {
            base_url: base_url.to_owned(),
            api_key: None,
            model: self.model.clone(),
            stream: !self.no_stream,
            api: self.model_api,
        };
        let theirs = match options.speaks() {
            ModelApi::Messages => "ANTHROPIC_API_KEY",
            ModelApi::Completions | ModelApi::Responses => "OPENAI_API_KEY",
        };
        // The key is no option: command lines are visible to every user of the machine.
        let key = std::env::var("USHER_MODEL_KEY").or_else(|_| std::env::var(theirs));
        ModelOptions { api_key: key.ok().map(Secret::new), ..options }
    }
}

/// Who one talks with.
enum Partner {
    /// What understands here.
    Own(Assistant),
    /// The running Usher's own chat, with its model.
    Served(Served),
}

impl Partner {
    async fn say(
        &self,
        sentence: &str,
        hear: &mut (dyn FnMut(Event<'_>) + Send + Sync),
    ) -> anyhow::Result<bool> {
        match self {
            Self::Own(assistant) => Ok(assistant.say(sentence, hear).await?.done),
            Self::Served(served) => served.say(sentence, hear).await,
        }
    }
}

/// The file that a conversation is written into, if any. It is the person's alone: what they say may be a secret.
struct Transcript(Option<Mutex<File>>);

impl Transcript {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("could not open the transcript {}", path.display()))?;
        Ok(Self(Some(Mutex::new(file))))
    }

    /// Who said what, as a block of its own. What can't be written holds nothing up.
    fn note(&self, who: &str, text: &str) {
        let Some(file) = &self.0 else { return };
        let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(format!("**{who}**\n\n{indented}\n").as_bytes()) {
            tracing::warn!(%error, "the transcript can't be written");
        }
    }
}

/// Says one sentence and prints what comes back. `false` when it was not understood or refused.
async fn hear(
    partner: &Partner,
    sentence: &str,
    style: Style,
    transcript: &Transcript,
) -> anyhow::Result<bool> {
    transcript.note("you", sentence);
    partner
        .say(sentence, &mut |event| {
            let shown = match event {
                Event::Say(text) => {
                    transcript.note("usher", text);
                    text.to_owned()
                }
                Event::Plan(text) => {
                    transcript.note("plan", text);
                    style.diff(text)
                }
                Event::Applied { revision } => {
                    let said = format!("applied, in force since revision {revision}");
                    transcript.note("usher", &said);
                    style.dim(&said)
                }
                Event::Tool { name } => {
                    transcript.note("tool", name);
                    style.dim(&format!("[{name}]"))
                }
            };
            // The next line that can't be printed ends the conversation.
            let _ = say(&shown);
        })
        .await
}

async fn converse(partner: &Partner, style: Style, transcript: &Transcript) -> anyhow::Result<()> {
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
        if let Err(error) = hear(partner, line.trim(), style, transcript).await {
            transcript.note("error", &format!("{error:#}"));
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
