//! `chat`: who may come in at the chat side, under which address, and how often one caller may call.

use serde_json::Value;
use usher_chat::{Limits, Toolset};
use usher_model::nearest::nearest;

use super::read::{Document, address, texts};
use super::{Settings, model};

/// Reads all of it.
///
/// # Errors
/// The setting, its value and what is allowed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    let public_url = file.text("chat.public_url")?;
    settings.public_url = public_url.map(|url| address("chat.public_url", url)).transpose()?;
    settings.published_on_loopback = file.truth("chat.published_on_loopback")?.unwrap_or(false);
    settings.chat_token_required = file.truth("chat.token_required")?.unwrap_or(false);
    model::read(file, settings)?;
    settings.chat_console = file.truth("chat.console")?;
    settings.oauth = read_oauth(file, settings.public_url.as_deref())?;
    // Whoever is let in shows it by a token; without one there would be nothing to be let in to.
    settings.chat_token_required |= settings.oauth.is_some();
    if let Some(token) = file.text("chat.verification_tokens.openai")? {
        settings.verification_tokens = vec![("openai".to_owned(), token.to_owned())];
    }
    settings.chat_limits = read_limits(file)?;
    settings.chat_toolsets = read_toolsets(file)?;
    Ok(())
}

fn read_toolsets(file: &Document<'_>) -> Result<Vec<Toolset>, String> {
    let words = match file.at("chat.toolsets") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => texts("chat.toolsets", value)?,
    };
    let set = |word: &String| {
        Toolset::named(word).ok_or_else(|| {
            let names: Vec<&str> = Toolset::ALL.iter().map(|(name, _)| *name).collect();
            let meant = nearest(word, names.iter().copied()).map(|name| format!(" (did you mean {name}?)"));
            format!(
                "chat.toolsets: there is no toolset {word:?}{}; write some of {}",
                meant.unwrap_or_default(),
                names.join(", ")
            )
        })
    };
    words.iter().map(set).collect()
}

fn read_limits(file: &Document<'_>) -> Result<Limits, String> {
    let usual = Limits::default();
    let count = |name: &str, usual: u32| {
        match file.whole(name)? {
        None => Ok(usual),
        Some(count) => u32::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
            format!("{name}: {count} is no number of calls within a minute; write one from 1 to {}, or leave it out for {usual}", u32::MAX)
        }),
    }
    };
    Ok(Limits {
        calls: count("chat.limits.calls", usual.calls)?,
        plans: count("chat.limits.plans", usual.plans)?,
        applies: count("chat.limits.applies", usual.applies)?,
    })
}

fn read_oauth(file: &Document<'_>, public_url: Option<&str>) -> Result<Option<usher_chat::Oauth>, String> {
    let private_clients = file.truth("chat.oauth_private_clients")?.unwrap_or(false);
    if file.truth("chat.oauth")? != Some(true) {
        return Ok(None);
    }
    let is_local = |url: &str| {
        let host = url.trim_start_matches("http://");
        ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
            host.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        })
    };
    match public_url {
        Some(url) if !url.starts_with("https://") && !is_local(url) => Err(format!(
            "chat.oauth: passwords and tokens would travel in clear to {url}; put TLS in front of the chat side and write its https:// address into \
             chat.public_url"
        )),
        _ => Ok(Some(usher_chat::Oauth { private_clients })),
    }
}
