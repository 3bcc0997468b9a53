//! Logging in to the console by an OpenID Connect provider: away with a fresh state, back with a code, and the code for an ID token
//! (OpenID Connect Core 1.0, section 3.1; RFC 7636; RFC 9207).
//!
//! What a login began with lies sealed in a cookie of the browser that began it, so that nobody can end a login in another's browser. The page of the
//! console takes what comes back and shows it here like a password: the same rules about pages, guesses and cookies hold for both.

mod begun;
mod beside;
mod person;
mod places;
mod provider;
mod trouble;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;
use usher_model::change::Role;
use usher_model::jose::token::encode;
use usher_model::secret::Secret;

pub(crate) use begun::{Begun, LASTS};
pub use beside::{Away, CameBack, NotIn};
pub(crate) use person::Person;
pub use places::Places;
use provider::Provider;
pub use provider::is_on_loopback;
pub(crate) use trouble::Trouble;

/// What the names of people begin with who come this way; no user, token or admin key is called so.
pub const PREFIX: &str = "oidc:";
/// The same where the provider's own identifier is the name, so that nobody's address can look like it.
pub const SUBJECT_PREFIX: &str = "oidc-sub:";
/// The page of the console that a provider sends browsers back to.
const BACK: &str = "/ui/oidc";
/// States that were used and are remembered; of more, the oldest goes.
const MOST_USED: usize = 10_000;

/// Whom the console trusts with who somebody is, and what is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// What the provider is called on the button.
    pub name: String,
    /// Who it says it is, and where its discovery document lies: `https://`, or `http://` on loopback.
    pub issuer: String,
    /// What Usher is called there.
    pub client_id: String,
    /// What is asked for, `openid` among it.
    pub scopes: Vec<String>,
    /// The claim that names a person; `None`: a verified `email`, else `sub`.
    pub user_claim: Option<String>,
    /// The claim that `roles` are about; dots lead into objects where no claim has the whole name.
    pub role_claim: Option<String>,
    /// Which role a value of that claim gives. Of several, the one with most power counts.
    pub roles: Vec<(String, Role)>,
    /// The role of everybody else; `None` refuses them.
    pub default_role: Option<Role>,
    /// How long a session lasts at most.
    pub session: Duration,
    /// Certificates in PEM that the provider is trusted by, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// How long one answer of the provider may take.
    pub timeout: Duration,
}

/// Why the provider can't be set up.
#[derive(Debug, thiserror::Error)]
#[error("console.oidc: {0}")]
pub struct OidcError(String);

/// The way in by a provider.
pub struct Oidc {
    settings: OidcSettings,
    places: Places,
    provider: Provider,
    used: Mutex<HashMap<String, Instant>>,
}

/// What came back with a browser.
pub(crate) struct Back {
    pub(crate) state: String,
    pub(crate) code: Option<String>,
    pub(crate) iss: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) error_description: Option<String>,
}

impl Oidc {
    /// `secret` is what Usher shows the provider that it is Usher. Asks nobody yet: a provider that is away at the start is asked by the first who logs in.
    ///
    /// # Errors
    /// The file of certificates can't be used.
    pub fn new(settings: OidcSettings, secret: Secret<String>, places: Places) -> Result<Self, OidcError> {
        let provider = Provider::new(&settings, secret).map_err(OidcError)?;
        Ok(Self { settings, places, provider, used: Mutex::default() })
    }

    /// What the provider is called.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// How long a session of somebody who came this way lasts at most.
    pub(crate) const fn session(&self) -> Duration {
        self.settings.session
    }

    /// Begins a login for a browser that asked under this host: what has to be sealed for it, and where it goes.
    ///
    /// # Errors
    /// The host is none of ours, or the provider can't be asked.
    pub(crate) async fn begin(
        &self,
        host: Option<&str>,
        to: Option<String>,
    ) -> Result<(Begun, String), Trouble> {
        let base = self.places.base(host)?;
        self.leave(format!("{base}{BACK}"), to).await
    }

    /// The same with the address of ours that is come back to.
    async fn leave(&self, redirect_uri: String, to: Option<String>) -> Result<(Begun, String), Trouble> {
        let metadata = self.provider.metadata().await?;
        let endpoint =
            self.provider.endpoint(metadata.authorization_endpoint.as_deref(), "authorization_endpoint")?;
        let begun = Begun::new(redirect_uri, to).ok_or(Trouble::NoRandom)?;
        let challenge = encode(digest(&SHA256, begun.verifier().as_bytes()));
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("scope", &self.settings.scopes.join(" "))
            .append_pair("redirect_uri", begun.redirect_uri())
            .append_pair("state", begun.state())
            .append_pair("nonce", begun.nonce())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Ok((begun, format!("{endpoint}{joint}{query}")))
    }

    /// Ends a login that this browser began.
    ///
    /// # Errors
    /// Whatever doesn't fit, the provider that can't be asked, and a person whom no rule gives a role.
    pub(crate) async fn end(&self, begun: &Begun, back: Back) -> Result<Person, Trouble> {
        if !begun.is_state(&back.state) {
            return Err(Trouble::AnotherLogin);
        }
        if !self.is_first_use(begun.state()) {
            return Err(Trouble::UsedState);
        }
        if let Some(error) = back.error {
            return Err(Trouble::declined(&error, back.error_description.as_deref()));
        }
        let metadata = self.provider.metadata().await?;
        let must_say = metadata.authorization_response_iss_parameter_supported == Some(true);
        if back.iss.as_ref().map_or(must_say, |issuer| *issuer != metadata.issuer) {
            return Err(Trouble::token("it came back from another provider than it went to"));
        }
        let code =
            back.code.filter(|code| !code.is_empty()).ok_or(Trouble::token("it came back without a code"))?;
        let tokens = self.provider.exchange(&metadata, begun, &code).await?;
        let claims = self.provider.verified(&metadata, begun, &tokens).await?;
        // What the ID token doesn't say, the provider may say where more is told.
        if person::lacks(&self.settings, &claims) && metadata.userinfo_endpoint.is_some() {
            let claims = self.provider.told(&metadata, &tokens, claims).await?;
            return Person::of(&self.settings, &claims);
        }
        Person::of(&self.settings, &claims)
    }

    /// Where a person may log out of the provider too, as far as that is known without asking.
    pub(crate) fn end_session(&self) -> Option<String> {
        let endpoint = self.provider.known()?.end_session_endpoint.clone()?;
        let endpoint = self.provider.endpoint(Some(&endpoint), "end_session_endpoint").ok()?;
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.settings.client_id)
            .finish();
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Some(format!("{endpoint}{joint}{query}"))
    }

    /// Each state is taken once. It lasts no longer than the login that it belongs to.
    fn is_first_use(&self, state: &str) -> bool {
        let now = Instant::now();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, at| now.duration_since(*at) <= LASTS);
        if used.len() >= MOST_USED {
            let oldest = used.iter().min_by_key(|(_, at)| **at).map(|(state, _)| state.clone());
            oldest.and_then(|state| used.remove(&state));
        }
        used.insert(state.to_owned(), now).is_none()
    }
}
