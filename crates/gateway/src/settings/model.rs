//! `chat.model`: the model that leads the chat beside the console's pages.

use usher_chat::assistant::{ModelApi, ModelOptions};
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
    only_members("chat.model", section, &["url", "name", "key", "key_file", "api"])?;
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

impl Settings {
    /// The model that leads the chat, by the environment or else by the file; plain sentences are understood without one.
    ///
    /// # Errors
    /// Its key can't be read.
    pub(crate) fn model(&self) -> Result<Option<ModelOptions>, String> {
        let of = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        if let Some(base_url) = of("USHER_MODEL_URL") {
            return Ok(Some(ModelOptions {
                base_url,
                api_key: of("USHER_MODEL_KEY").map(Secret::new),
                model: of("USHER_MODEL").unwrap_or_else(|| USUAL.to_owned()),
                stream: true,
                api: of("USHER_MODEL_API")
                    .map(|name| name.parse())
                    .transpose()
                    .map_err(|error: String| format!("USHER_MODEL_API: {error}"))?,
            }));
        }
        let Some(model) = &self.model else { return Ok(None) };
        Ok(Some(ModelOptions {
            base_url: model.url.clone(),
            api_key: model.key.as_ref().map(Kept::secret).transpose()?,
            model: model.name.clone(),
            stream: true,
            api: model.api,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::parsed;

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
