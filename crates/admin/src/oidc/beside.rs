//! Logging in by the provider for a page beside the console, such as the one that lets programs in: the same way, with a place of its own that is come
//! back to, and no session at the end.

use std::time::Duration;

use usher_model::change::{Door, Principal};

use super::{Back, Begun, LASTS, Oidc, Person, Trouble};
use crate::service::Service;

/// A login that was begun.
pub struct Away {
    /// Where the browser has to go.
    pub location: String,
    /// What the browser keeps of it, as a cookie of at most 10 minutes, and what it is ended with.
    pub sealed: String,
    /// What the provider sends back with the browser.
    pub state: String,
}

/// What the provider sent a browser back with, as it stands in the address.
pub struct CameBack {
    /// What the login was begun with.
    pub state: String,
    /// The code.
    pub code: Option<String>,
    /// Who the provider says it is.
    pub iss: Option<String>,
    /// Why the provider said no.
    pub error: Option<String>,
    /// The same in a sentence.
    pub error_description: Option<String>,
}

/// Why nobody came in, with the next step.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}; {next}")]
pub struct NotIn {
    sentence: String,
    next: String,
    /// Whether it may be somebody's guess.
    pub is_guess: bool,
}

impl Oidc {
    /// How long a login may take.
    pub const LASTS: Duration = LASTS;

    /// What the provider is called.
    #[must_use]
    pub fn called(&self) -> &str {
        self.name()
    }

    /// For how long somebody who came this way is believed to be who they were.
    #[must_use]
    pub const fn believed(&self) -> Duration {
        self.session()
    }

    /// Begins a login that comes back to `redirect_uri`, an address of ours that the provider knows.
    ///
    /// # Errors
    /// The provider can't be asked, or the system gives no random numbers.
    pub async fn begin_beside(&self, service: &Service, redirect_uri: String) -> Result<Away, NotIn> {
        let (begun, location) =
            self.leave(redirect_uri, None).await.map_err(|trouble| self.not_in(&trouble))?;
        let sealed = begun.seal(service).ok_or_else(|| self.not_in(&Trouble::NoRandom))?;
        Ok(Away { location, sealed, state: begun.state().to_owned() })
    }

    /// Ends such a login: who came, with the role that the rules give. Whom it refuses, the audit tells of.
    ///
    /// # Errors
    /// Whatever doesn't fit, the provider that can't be asked, and a person whom no rule gives a role.
    pub async fn end_beside(
        &self,
        service: &Service,
        sealed: &str,
        back: CameBack,
    ) -> Result<Principal, NotIn> {
        let CameBack { state, code, iss, error, error_description } = back;
        let back = Back { state, code, iss, error, error_description };
        let outcome = match Begun::open(service, sealed) {
            Some(begun) => self.end(&begun, back).await,
            None => Err(Trouble::NotBegun),
        };
        match outcome {
            Ok(Person { name, role }) => Ok(Principal::new(name, role, Door::Console)),
            Err(trouble) => {
                let name = match &trouble {
                    Trouble::NoRole { name } => name.as_str(),
                    _ => "",
                };
                service.login_refused(name, &trouble.to_string()).await;
                Err(self.not_in(&trouble))
            }
        }
    }

    fn not_in(&self, trouble: &Trouble) -> NotIn {
        NotIn {
            sentence: trouble.to_string().replacen("the provider", self.name(), 1),
            next: trouble.next(),
            is_guess: trouble.is_guess(),
        }
    }
}
