//! Why a login by a provider fails: a sentence for the person who stands there, and the next step.

use usher_model::invisible::push_visible;

/// Characters of foreign text that are shown.
const SHOWN: usize = 200;

/// Why it fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// The console was opened under a name that nobody said is ours.
    #[error("the console was opened at {host:?}, which is none of its addresses")]
    ForeignHost { host: String, public_url: Option<String> },
    #[error("the system gives no random numbers")]
    NoRandom,
    /// The cookie isn't there, or another's, or too old.
    #[error("this browser began no such log-in, or took more than 10 minutes for it")]
    NotBegun,
    #[error("this log-in isn't the one that this browser began last")]
    AnotherLogin,
    #[error("this log-in was ended before")]
    UsedState,
    /// The provider said no, in its own words.
    #[error("the provider said no: {0}")]
    Declined(String),
    /// The provider can't be asked.
    #[error("the provider can't be asked: {0}")]
    Away(String),
    /// The provider's settings, or ours of it, are wrong.
    #[error("the provider can't be used: {0}")]
    Unusable(String),
    /// What came back proves nothing.
    #[error("what came back from the provider is not taken: {0}")]
    Token(String),
    /// The person can't be named.
    #[error("the provider doesn't say who this is: {0}")]
    Nameless(String),
    /// No rule gives the person a role.
    #[error("{name} may not use this console: no rule gives a role to whoever the provider says that is")]
    NoRole { name: String },
}

impl Trouble {
    /// What came back proves nothing.
    pub(super) fn token(why: impl Into<String>) -> Self {
        Self::Token(why.into())
    }

    /// The provider said no.
    pub(super) fn declined(error: &str, description: Option<&str>) -> Self {
        let error = clean(error);
        Self::Declined(match description.map(clean).filter(|text| !text.is_empty()) {
            Some(description) => format!("{error} ({description})"),
            None => error,
        })
    }

    /// Whether it may be somebody's guess.
    pub(crate) const fn is_guess(&self) -> bool {
        matches!(self, Self::NotBegun | Self::AnotherLogin | Self::UsedState | Self::Token(_))
    }

    /// What to do next.
    pub(crate) fn next(&self) -> String {
        match self {
            Self::ForeignHost { public_url: Some(url), .. } => format!("open {url}/ui/"),
            Self::ForeignHost { public_url: None, .. } => {
                "an admin of the gateway writes the address that people open into console.public_url".to_owned()
            }
            Self::NoRandom => "look at the log of Usher".to_owned(),
            Self::NotBegun | Self::AnotherLogin | Self::UsedState | Self::Declined(_) | Self::Token(_) => {
                "log in again".to_owned()
            }
            Self::Away(_) => "try again in a moment, or log in with a user or an admin key".to_owned(),
            Self::Unusable(_) => {
                "an admin of the gateway compares console.oidc with what the provider has of Usher; until then log in with a user or an admin key"
                    .to_owned()
            }
            Self::Nameless(_) => "an admin of the gateway looks at console.oidc.user_claim and scopes".to_owned(),
            Self::NoRole { .. } => "ask an admin of the gateway, whose console.oidc.roles say who may come in".to_owned(),
        }
    }
}

/// Foreign text, made visible and short.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::new();
    text.chars().take(SHOWN).for_each(|letter| push_visible(&mut out, letter));
    out
}

#[cfg(test)]
mod tests {
    use super::Trouble;

    #[test]
    fn foreign_words_are_shown_short_and_visible() {
        let told = Trouble::declined("access_denied", Some("\u{202e}no\n")).to_string();
        assert_eq!(told, "the provider said no: access_denied (\\u{202e}no\\u{a})");
        assert!(Trouble::declined(&"x".repeat(5000), None).to_string().len() < 300);
    }
}
