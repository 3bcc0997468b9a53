//! How the gateway proves to the provider who it is without showing a secret: by a token that it signs itself (RFC 7523, section 2.2).

use aws_lc_rs::rand;
use serde_json::json;
use usher_model::jose::algorithm::{Algorithm, Family};
use usher_model::jose::key::SigningKey;
use usher_model::jose::token::encode;
use usher_model::reference::is_reference;
use usher_pipeline::plugin::BuildError;

use super::config::{AuthMethod, Config};

/// What an assertion's type is called in a form.
pub(super) const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The keys that assertions are signed with.
#[derive(Debug, Default)]
pub(super) struct Assertions {
    private: Option<SigningKey>,
    shared: Option<SigningKey>,
}

impl Assertions {
    /// The keys that the configuration names. One that is kept elsewhere isn't known before it runs.
    ///
    /// # Errors
    /// A key that is needed and missing, or that can't be used.
    pub(super) fn new(config: &Config) -> Result<Self, BuildError> {
        let needs = |method| config.auth_methods().any(|used| used == method);
        let mut all = Self::default();
        let algorithm = config.client_jwt_assertion_alg;
        if needs(AuthMethod::PrivateKeyJwt) {
            let pem = config.client_rsa_private_key.as_ref();
            let pem =
                pem.ok_or_else(|| BuildError::new("property \"client_rsa_private_key\" is required"))?;
            let algorithm = algorithm.filter(|chosen| chosen.family() != Family::Shared);
            if !is_reference(pem.expose()) {
                let key = SigningKey::pem(algorithm.unwrap_or(Algorithm::Rs256), pem.expose());
                all.private = Some(key.map_err(|reason| {
                    BuildError::new(format!(
                        "property \"client_rsa_private_key\" validation failed: {reason}"
                    ))
                })?);
            }
        }
        if needs(AuthMethod::ClientSecretJwt) {
            let secret = config.client_secret.as_ref();
            let secret = secret.ok_or_else(|| BuildError::new("property \"client_secret\" is required"))?;
            let algorithm = algorithm.filter(|chosen| chosen.family() == Family::Shared);
            let key = SigningKey::shared(algorithm.unwrap_or(Algorithm::Hs256), secret.expose().as_bytes());
            all.shared = Some(key.map_err(BuildError::new)?);
        }
        Ok(all)
    }

    /// An assertion for whoever is at this URL, by the key of this method.
    ///
    /// # Errors
    /// The key isn't known, or can't sign.
    pub(super) fn sign(
        &self,
        config: &Config,
        method: AuthMethod,
        url: &str,
        now: u64,
    ) -> Result<String, String> {
        let (key, kid) = match method {
            AuthMethod::PrivateKeyJwt => (&self.private, config.client_rsa_private_key_id.as_deref()),
            _ => (&self.shared, None),
        };
        let key = key.as_ref().ok_or("the key that signs assertions is not known")?;
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| "no random bytes")?;
        let claims = json!({
            "iss": config.client_id,
            "sub": config.client_id,
            "aud": config.client_jwt_assertion_audience.as_deref().unwrap_or(url),
            "jti": encode(id),
            "iat": now,
            "exp": now.saturating_add(config.client_jwt_assertion_expires_in),
        });
        key.token(kid, &claims)
    }
}
