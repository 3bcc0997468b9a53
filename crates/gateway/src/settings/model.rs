//! `chat.model`: the model that leads the chat beside the console's pages.

use usher_chat::assistant::{Bounds, Budget, ModelApi, ModelOptions};
use usher_chat::talk::Fixed;
use usher_model::secret::Secret;

use super::Settings;
use super::kept::Kept;
use super::read::{Document, only_members};

/// What is asked where nobody names a model.
const USUAL: &str = "gpt-5";

/// A model behind an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    /// Its address, such as `https://api.openai.com/v1`.
    pub(crate) url: String,
    /// What it is called there.
    pub(crate) name: String,
    /// The key that it asks for.
    pub(crate) key: Option<Kept>,
    /// How it is asked; `None`: as the address says.
    pub(crate) api: Option<ModelApi>,
}

/// Reads the section.
///
/// # Errors
/// The setting, its value and what is allowed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    let Some(section) = file.at("chat.model").filter(|section| !section.is_null()) else { return Ok(()) };
    only_members("chat.model", section, &["url", "name", "key", "key_file", "api", "budget"])?;
    settings.chat_budget = read_budget(file)?;
    // The environment may name the model.
    if section.as_object().is_some_and(|members| members.keys().all(|name| name == "budget")) {
        return Ok(());
    }
    let url = file.text("chat.model.url")?.unwrap_or_default();
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(format!(
            "chat.model.url: {url:?} can't be used; write where the model answers, such as https://api.openai.com/v1 or http://127.0.0.1:11434/v1"
        ));
    }
    let api = file.text("chat.model.api")?.map(str::parse).transpose();
    settings.model = Some(Model {
        url: url.to_owned(),
        name: file.text("chat.model.name")?.unwrap_or(USUAL).to_owned(),
        key: Kept::read(file, "chat.model.key")?,
        api: api.map_err(|error: String| format!("chat.model.api: {error}"))?,
    });
    Ok(())
}

fn read_budget(file: &Document<'_>) -> Result<Budget, String> {
    let Some(section) = file.at("chat.model.budget").filter(|section| !section.is_null()) else {
        return Ok(Budget::default());
    };
    only_members("chat.model.budget", section, &["conversation", "day"])?;
    let bounds = |span: &str| -> Result<Bounds, String> {
        let place = format!("chat.model.budget.{span}");
        let Some(section) = file.at(&place).filter(|section| !section.is_null()) else {
            return Ok(Bounds::default());
        };
        only_members(&place, section, &["tokens", "calls"])?;
        let bound = |name: &str| {
            let place = format!("{place}.{name}");
            match file.whole(&place)? {
                Some(0) => Err(format!(
                    "{place}: 0 lets nobody talk; write a number from 1 on, or leave it out for no bound"
                )),
                bound => Ok(bound),
            }
        };
        Ok(Bounds { tokens: bound("tokens")?, calls: bound("calls")? })
    };
    Ok(Budget { conversation: bounds("conversation")?, day: bounds("day")? })
}

impl Settings {
    /// The model that leads the chat, by the environment or else by the file. Where neither names one, an admin may choose it at runtime.
    ///
    /// # Errors
    /// Its key can't be read.
    pub(crate) fn model(&self) -> Result<Option<Fixed>, String> {
        let of = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        if let Some(base_url) = of("USHER_MODEL_URL") {
            let options = ModelOptions {
                base_url,
                api_key: of("USHER_MODEL_KEY").map(Secret::new),
                model: of("USHER_MODEL").unwrap_or_else(|| USUAL.to_owned()),
                stream: true,
                api: of("USHER_MODEL_API")
                    .map(|name| name.parse())
                    .transpose()
                    .map_err(|error: String| format!("USHER_MODEL_API: {error}"))?,
            };
            return Ok(Some(Fixed { options, by: "USHER_MODEL_URL of the environment" }));
        }
        let Some(model) = &self.model else { return Ok(None) };
        let options = ModelOptions {
            base_url: model.url.clone(),
            api_key: model.key.as_ref().map(Kept::secret).transpose()?,
            model: model.name.clone(),
            stream: true,
            api: model.api,
        };
        Ok(Some(Fixed { options, by: "chat.model of the settings" }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::parsed;

    #[test]
    fn a_budget_has_bounds_for_a_conversation_and_for_a_day() {
        let of = |budget: &str| parsed(&format!("chat: {{model: {{budget: {budget}}}}}"));
        let settings = of("{conversation: {tokens: 5000}, day: {tokens: 90000, calls: 300}}").unwrap();
        assert!(settings.model.is_none());
        assert_eq!(
            (settings.chat_budget.conversation.tokens, settings.chat_budget.conversation.calls),
            (Some(5000), None)
        );
        assert_eq!(
            (settings.chat_budget.day.tokens, settings.chat_budget.day.calls),
            (Some(90_000), Some(300))
        );
        for (budget, said) in [
            ("{hour: {}}", "chat.model.budget"),
            ("{day: {tokens: 0}}", "chat.model.budget.day.tokens: 0 lets nobody talk"),
            ("{day: {token: 5}}", "chat.model.budget.day"),
        ] {
            let error = of(budget).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_model_has_an_address_a_name_and_perhaps_a_key() {
        let settings =
            parsed("chat: {model: {url: 'http://127.0.0.1:11434/v1', name: qwen3, key: s3cret}}").unwrap();
        let model = settings.model.clone().unwrap();
        assert_eq!((model.url.as_str(), model.name.as_str()), ("http://127.0.0.1:11434/v1", "qwen3"));
        assert_eq!(model.key.as_ref().unwrap().secret().unwrap().expose(), "s3cret");
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert_eq!(parsed("chat: {model: {url: 'https://a.test'}}").unwrap().model.unwrap().name, "gpt-5");
        for (yaml, wanted) in [
            ("chat: {model: {name: x}}", "chat.model.url: \"\" can't be used"),
            ("chat: {model: {url: 'https://a.test', api: x}}", "chat.model.api: x is no way to ask a model"),
            ("chat: {model: {url: a.test}}", "chat.model.url: \"a.test\" can't be used"),
            ("chat: {model: {url: 'https://a.test', keey: x}}", "did you mean key?"),
            (
                "chat: {model: {url: 'https://a.test', key: x, key_file: a.txt}}",
                "give chat.model.key or chat.model.key_file",
            ),
        ] {
            let told = parsed(yaml).unwrap_err();
            assert!(told.contains(wanted), "{told}");
        }
    }
}
