//! The model that leads the built-in chat, as an admin chose it at runtime: kept in the store for every gateway, with its key sealed.
//!
//! The key is written and never read back. It belongs to the origin that it was given for: at another one it has to be given anew, so that nobody
//! who may name an address is handed the key there.

use std::str::FromStr;

use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::change::Principal;
use usher_model::mask::mask;
use usher_model::secret::Secret;
use usher_store::{Compare, Transaction};

use super::access::Row;
use super::audit::{AuditEvent, Event};
use super::check::refused_node;
use super::tokens::refused;
use super::{Service, ServiceError, consent, encoded, unix_ms};

/// What the keys of these records begin with.
pub(super) const PREFIX: &str = "/usher/chat/";
const KEY: &str = "/usher/chat/model";
/// Characters of an address, of a name and of a key.
const LONGEST_URL: usize = 2048;
const LONGEST_NAME: usize = 256;
const LONGEST_KEY: usize = 8192;

/// How a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelApi {
    /// Chat completions, as OpenAI made them and nearly every server speaks them.
    Completions,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
}

impl FromStr for ModelApi {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "completions" => Ok(Self::Completions),
            "responses" => Ok(Self::Responses),
            "messages" => Ok(Self::Messages),
            other => {
                Err(format!("{other} is no way to ask a model; write completions, responses or messages"))
            }
        }
    }
}

/// A model as somebody wants it.
#[derive(Clone, Debug)]
pub struct NewModel {
    /// Where it answers: http or https, without a user or password, at most 2,048 characters. Link-local and metadata addresses and Usher's own
    /// listeners are refused.
    pub url: String,
    /// Its name there: 1 to 256 characters.
    pub name: String,
    /// How it is asked; `None`: as the address says.
    pub api: Option<ModelApi>,
    /// Its key. `None` keeps the one that is stored, an empty one is none.
    pub key: Option<Secret<String>>,
}

/// A model, ready to be asked.
#[derive(Clone, Debug)]
pub struct ChosenModel {
    /// Where it answers.
    pub url: String,
    /// Its name there.
    pub name: String,
    /// How it is asked; `None`: as the address says.
    pub api: Option<ModelApi>,
    /// Its key in clear: for sending to that address, never for showing.
    pub key: Option<Secret<String>>,
    /// When it was chosen, in milliseconds since 1970.
    pub since_unix_ms: u64,
}

/// What may be shown of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// Where it answers.
    pub url: String,
    /// Its name there.
    pub name: String,
    /// How it is asked; `None`: as the address says.
    pub api: Option<ModelApi>,
    /// A mask of its key, by which two keys can be told apart; `None`: it has none.
    pub key: Option<String>,
    /// Who chose it.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub since_unix_ms: u64,
}

/// A model as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Chosen {
    url: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api: Option<ModelApi>,
    /// Sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    by: String,
    at_unix_ms: u64,
}

impl Row for Chosen {
    const PREFIX: &'static str = PREFIX;
    type Id = ();

    fn id(&self) -> Option<Self::Id> {
        Some(())
    }
}

impl Service {
    /// The model that was chosen for the chat, with its key; `None`: none was.
    ///
    /// # Errors
    /// Its key can't be opened with the keyring that is here.
    pub fn chosen_model(&self) -> Result<Option<ChosenModel>, ServiceError> {
        let Some(chosen) = self.chat_model.find(&()) else { return Ok(None) };
        let key = self.key_of(&chosen)?;
        let Chosen { url, name, api, at_unix_ms, .. } = chosen;
        Ok(Some(ChosenModel { url, name, api, key, since_unix_ms: at_unix_ms }))
    }

    /// Since when the chosen model is the one that is chosen, in milliseconds since 1970; `None`: none is.
    #[must_use]
    pub fn model_since(&self) -> Option<u64> {
        self.chat_model.find(&()).map(|chosen| chosen.at_unix_ms)
    }

    /// The name of the chosen model; `None`: none is.
    #[must_use]
    pub fn model_name(&self) -> Option<String> {
        self.chat_model.find(&()).map(|chosen| chosen.name)
    }

    /// What may be shown of it. Only an unscoped admin may see it.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or a key that can't be opened.
    pub async fn show_model(&self, who: &Principal) -> Result<Option<ModelInfo>, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let Some(chosen) = self.chat_model.find(&()) else { return Ok(None) };
        let key = self.key_of(&chosen)?.map(|key| mask(&self.parts.keyring, key.expose()));
        let Chosen { url, name, api, by, at_unix_ms, .. } = chosen;
        Ok(Some(ModelInfo { url, name, api, key, by, since_unix_ms: at_unix_ms }))
    }

    /// Chooses the model that leads the chat, on every gateway of this store; the audit tells of it. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], an address, name or key that can't be, or the store.
    pub async fn choose_model(&self, who: &Principal, wanted: NewModel) -> Result<ModelInfo, ServiceError> {
        let model = self.judge_model(who, wanted).await?;
        let sealed = model.key.as_ref().map(|key| self.parts.keyring.seal(KEY, key.expose())).transpose();
        let sealed = sealed.map_err(|error| ServiceError::Damaged(error.to_string()))?;
        let masked = model.key.as_ref().map(|key| mask(&self.parts.keyring, key.expose()));
        // Two choices within one millisecond are told apart all the same.
        let at_unix_ms = unix_ms().max(self.model_since().map_or(0, |since| since + 1));
        let ChosenModel { url, name, api, .. } = model;
        let chosen = Chosen { url, name, api, key: sealed, by: who.name.clone(), at_unix_ms };
        let about = told(&chosen.name, &chosen.url);
        let transaction = Transaction::default().put(KEY.to_owned(), encoded(&chosen)?);
        self.told_with(who, Event::new(AuditEvent::ModelChosen, &about), transaction).await?;
        let Chosen { url, name, api, by, at_unix_ms, .. } = chosen;
        Ok(ModelInfo { url, name, api, key: masked, by, since_unix_ms: at_unix_ms })
    }

    /// Takes the choice back: the chat understands plain sentences again. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::NoSuch`] where none is chosen, [`ServiceError::Forbidden`], or the store.
    pub async fn forget_model(&self, who: &Principal) -> Result<(), ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let Some(chosen) = self.chat_model.find(&()) else {
            return Err(ServiceError::NoSuch(
                "no model is chosen; the chat understands plain sentences".to_owned(),
            ));
        };
        let event = Event::new(AuditEvent::ModelForgotten, &told(&chosen.name, &chosen.url));
        let transaction = Transaction::default().expect(KEY, Compare::Exists).delete(KEY.to_owned());
        self.told_with(who, event, transaction).await?;
        Ok(())
    }

    /// A model as it would be chosen, with the key that it would have. Only an unscoped admin may.
    ///
    /// # Errors
    /// As for [`Service::choose_model`].
    pub async fn judge_model(&self, who: &Principal, wanted: NewModel) -> Result<ChosenModel, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let NewModel { url, name, api, key } = wanted;
        let (url, name) = (url.trim().to_owned(), name.trim().to_owned());
        let address = self.judge_address(&url)?;
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            let sentence = format!(
                "the model's name has 1 to {LONGEST_NAME} characters without line ends, such as gpt-5"
            );
            return Err(refused(sentence, "/name"));
        }
        let key = match key {
            Some(key) if key.expose().trim().is_empty() => None,
            Some(key) => Some(judge_key(&key)?),
            None => self.kept_key(&address)?,
        };
        Ok(ChosenModel { url, name, api, key, since_unix_ms: 0 })
    }

    /// Tells the audit that somebody has a model asked, and which.
    pub async fn model_tried(&self, who: &Principal, name: &str, url: &str) {
        self.note(who, Event::new(AuditEvent::ModelTried, &told(name, url))).await;
    }

    /// Why Usher may not send anything to a host and port on somebody's word, if it may not: link-local and metadata addresses, and its own
    /// listeners that are no gateway.
    #[must_use]
    pub fn keeps_away_from(&self, host: &str, port: u16) -> Option<&'static str> {
        refused_node(&self.parts.rules.forbidden_nodes, host, port)
    }

    fn judge_address(&self, text: &str) -> Result<Url, ServiceError> {
        let at = |sentence: String| refused(sentence, "/url");
        let example =
            "write where the model answers, such as https://api.openai.com/v1 or http://127.0.0.1:11434/v1";
        if text.len() > LONGEST_URL {
            return Err(at(format!(
                "the model's address is longer than {LONGEST_URL} characters; {example}"
            )));
        }
        let url = Url::parse(text)
            .map_err(|error| at(format!("the model's address can't be used: {error}; {example}")))?;
        let Some(host) = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")) else {
            let scheme = url.scheme();
            return Err(at(format!(
                "the model's address begins with http:// or https://, not {scheme}:; {example}"
            )));
        };
        if !url.username().is_empty() || url.password().is_some() {
            let sentence = "the model's address holds a user or a password, which everybody would be shown; give what lets us in as the key";
            return Err(at(sentence.to_owned()));
        }
        let (host, port) = (host.trim_matches(['[', ']']), url.port_or_known_default().unwrap_or_default());
        if let Some(reason) = self.keeps_away_from(host, port) {
            return Err(at(format!(
                "the model's address {host}:{port} is refused: it is {reason}; {example}"
            )));
        }
        Ok(url)
    }

    /// The key that is stored, where it is for this origin.
    fn kept_key(&self, address: &Url) -> Result<Option<Secret<String>>, ServiceError> {
        let Some(chosen) = self.chat_model.find(&()).filter(|chosen| chosen.key.is_some()) else {
            return Ok(None);
        };
        let origin = |url: &Url| url.origin().ascii_serialization();
        let before = Url::parse(&chosen.url).map(|url| origin(&url)).unwrap_or_default();
        let wanted = origin(address);
        if before != wanted {
            let sentence = format!(
                "the key that is stored is for {before} and goes nowhere else; give the key for {wanted}, or an empty one where it needs none"
            );
            return Err(refused(sentence, "/key"));
        }
        self.key_of(&chosen)
    }

    fn key_of(&self, chosen: &Chosen) -> Result<Option<Secret<String>>, ServiceError> {
        let Some(sealed) = &chosen.key else { return Ok(None) };
        let key = self.parts.keyring.open(KEY, sealed).map_err(|error| {
            ServiceError::Damaged(format!(
                "the key of the chat's model can't be opened ({error}); give it anew at Chat model in the console, or with PUT /usher/v1/chat/model"
            ))
        })?;
        Ok(Some(Secret::new(key)))
    }
}

fn judge_key(key: &Secret<String>) -> Result<Secret<String>, ServiceError> {
    let text = key.expose().trim();
    // What stands in a header: no line end and nothing beyond ASCII.
    if text.len() > LONGEST_KEY || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        let sentence = format!(
            "the key has at most {LONGEST_KEY} characters, printable ones of ASCII alone, because it is sent in a header; copy it once more"
        );
        return Err(refused(sentence, "/key"));
    }
    Ok(Secret::new(text.to_owned()))
}

/// What the audit says of a model. A query may hold a key.
fn told(name: &str, url: &str) -> String {
    format!("model {name} at {}", url.split(['?', '#']).next().unwrap_or_default())
}
