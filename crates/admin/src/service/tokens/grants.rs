//! Grants: tokens that a program was given by a user of the console over OAuth, each with a second secret that renews it.
//!
//! A grant is a row among the tokens, so that whoever lists and revokes tokens sees and ends it. It does no more than its user may, for one audience
//! only, and ends where the user does: with another password, another role, or the user's deletion. Each renewal gives both secrets anew; a second
//! secret that comes twice was copied by somebody, and so ends the grant for both.

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use usher_model::change::{Door, Principal, Role};
use usher_model::scope::Scope;
use usher_model::secret::Secret;
use usher_store::{Compare, StoreError, Transaction};

use super::super::audit::{AuditEvent, Event};
use super::super::escape::{plain, shortened};
use super::super::{Service, ServiceError, encoded, new_id, unix_ms};
use super::{CHARS, MARK, MOST, Token, new_secret, refused};

/// How long a grant's token is good, in seconds; then it is renewed.
const ACCESS_SECS: u64 = 3600;
/// How long a grant lasts that nobody renews, in seconds: 30 days.
const IDLE_SECS: u64 = 30 * 24 * 3600;
/// Grants of one user; the one that was renewed longest ago makes room.
const MOST_EACH: usize = 100;
/// How many used renewal secrets are remembered.
const USED_KEPT: usize = 8;
/// What every renewal secret begins with.
const RENEWAL_MARK: &str = "ur_";

/// A grant as a user agreed to it.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// The user, as the password or the provider showed.
    pub user: Principal,
    /// What the user is known by.
    pub by: GrantedBy,
    /// Which client got it: its identifier.
    pub client: String,
    /// What the client calls itself.
    pub client_name: String,
    /// What it may do: [`Role::Viewer`] or [`Role::Chat`], and no more than the user.
    pub role: Role,
    /// What it is good for: the address of the resource.
    pub audience: String,
}

/// What the user of a grant is known by, and so how long the grant stands at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantedBy {
    /// A password.
    Password {
        /// When the user's role or password were last set, in milliseconds since 1970, as it was when the password was shown.
        changed_unix_ms: u64,
    },
    /// A provider, which isn't asked again: the person has to come anew.
    Provider {
        /// Until when its word is taken, in milliseconds since 1970.
        until_unix_ms: u64,
    },
}

/// What a client is given.
#[derive(Debug)]
pub struct Granted {
    /// The handle that lists of tokens show.
    pub id: String,
    /// The token.
    pub access: Secret<String>,
    /// For how many seconds it is good.
    pub expires_in_secs: u64,
    /// What renews it, once.
    pub renewal: Secret<String>,
    /// What it may do.
    pub role: Role,
}

/// What a token knows of the grant that it is.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    user: String,
    /// 0 where a provider vouched for the user.
    user_changed_unix_ms: u64,
    /// Until when the provider's word is taken; nothing where it was a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_unix_ms: Option<u64>,
    client: String,
    audience: String,
    access_ends_unix_ms: u64,
    /// SHA-256 of the secret that renews it, in base64.
    renewal_sha256: String,
    /// Those that were used before it, newest last.
    used_sha256: Vec<String>,
}

impl Service {
    /// Gives a client a token in a user's name.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] where the user has changed since or the role is none for a client, too many tokens, or the store.
    pub async fn grant(&self, wanted: NewGrant) -> Result<Granted, ServiceError> {
        let NewGrant { user, by, client, client_name, role, audience } = wanted;
        let (user_changed_unix_ms, until_unix_ms) = match by {
            GrantedBy::Password { changed_unix_ms } => (changed_unix_ms, None),
            GrantedBy::Provider { until_unix_ms } => (0, Some(until_unix_ms)),
        };
        if !self.stands(&user.name, user_changed_unix_ms, until_unix_ms) {
            let sentence = format!("the user {} has changed since; sign in again", plain(&user.name));
            return Err(ServiceError::Forbidden(sentence));
        }
        let role = role.min(user.role).min(Role::Chat);
        let (access, renewal) = (new_secret()?, new_renewal()?);
        let now = unix_ms();
        let id = new_id()?;
        let token = Token {
            name: name_of(&user.name, &client_name, &id),
            id,
            role,
            scope: Scope::ALL,
            created_by: user.name.clone(),
            created_unix_ms: now,
            expires_unix_ms: Some(at_most(now, IDLE_SECS, until_unix_ms)),
            sha256: hashed(&access),
            grant: Some(Grant {
                user: user.name.clone(),
                user_changed_unix_ms,
                until_unix_ms,
                client,
                audience,
                access_ends_unix_ms: at_most(now, ACCESS_SECS, until_unix_ms),
                renewal_sha256: hashed(&renewal),
                used_sha256: Vec::new(),
            }),
            revision: 0,
        };
        let mut transaction = Transaction::default().expect(token.key(), Compare::Absent);
        let known = self.tokens.all();
        let own = known.iter().filter(|other| other.is_of(&user.name));
        if own.clone().count() >= MOST_EACH {
            let oldest = own.min_by_key(|other| other.expires_unix_ms);
            transaction = oldest.map(|other| other.key()).into_iter().fold(transaction, Transaction::delete);
        } else if known.len() >= MOST {
            let ended = known.iter().find(|other| other.has_ended()).ok_or_else(|| {
                refused(format!("there are {MOST} tokens already; revoke those that nobody needs"), "")
            })?;
            transaction = transaction.delete(ended.key());
        }
        transaction = transaction.put(token.key(), encoded(&token)?);
        let about = format!(
            "token {} {}, role {role}, for the client {} of {}",
            token.id,
            token.name,
            shortened(&client_name, 64),
            plain(&user.name)
        );
        let _writing = self.turns.alone().await;
        self.is_free(&token.name)?;
        self.tell(&user, Event::new(AuditEvent::TokenMade, &about), transaction).await?;
        let secs = (at_most(now, ACCESS_SECS, until_unix_ms) - now) / 1000;
        Ok(granted(token.id, access, secs, renewal, role))
    }

    /// Renews a grant: both secrets are given anew, and the old ones are good no longer. `None` where this renews nothing; a secret that was used
    /// before ends its grant.
    ///
    /// # Errors
    /// The store.
    pub async fn renew_grant(
        &self,
        renewal: &Secret<String>,
        client: &str,
        audience: Option<&str>,
    ) -> Result<Option<Granted>, ServiceError> {
        let sha256 = hashed(renewal.expose());
        let Some(mut token) = self.grant_of(|grant| grant.renewal_sha256 == sha256) else {
            if let Some(copied) = self.grant_of(|grant| grant.used_sha256.contains(&sha256)) {
                tracing::warn!(token = %copied.id, "a renewal secret came for the second time, so its grant was ended");
                let about = format!("token {} {}: its renewal secret came twice", copied.id, copied.name);
                self.drop_grant(&copied, &about).await?;
            }
            return Ok(None);
        };
        let (access, next) = (new_secret()?, new_renewal()?);
        let now = unix_ms();
        let Some(grant) = &mut token.grant else { return Ok(None) };
        let is_theirs = grant.client == client && audience.is_none_or(|audience| audience == grant.audience);
        if !is_theirs || !self.user_stands(grant) {
            return Ok(None);
        }
        grant.used_sha256.push(std::mem::replace(&mut grant.renewal_sha256, hashed(&next)));
        let surplus = grant.used_sha256.len().saturating_sub(USED_KEPT);
        grant.used_sha256.drain(..surplus);
        let until = grant.until_unix_ms;
        grant.access_ends_unix_ms = at_most(now, ACCESS_SECS, until);
        let secs = grant.access_ends_unix_ms.saturating_sub(now) / 1000;
        token.expires_unix_ms = Some(at_most(now, IDLE_SECS, until));
        token.sha256 = hashed(&access);
        let (key, role) = (token.key(), token.role);
        let write = Transaction::default()
            .expect(key.clone(), Compare::Modified(token.revision))
            .put(key, encoded(&token)?);
        match self.store().commit(write).await {
            Ok(_) => Ok(Some(granted(token.id, access, secs, next, role))),
            // Somebody else renewed it at the same time, or ended it.
            Err(StoreError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the grant of a token or renewal secret, where it is this client's; nothing happens otherwise.
    ///
    /// # Errors
    /// The store.
    pub async fn end_grant(&self, secret: &Secret<String>, client: &str) -> Result<(), ServiceError> {
        let sha256 = hashed(secret.expose());
        let known = self.tokens.all().into_iter().find(|token| {
            let is_its = |grant: &Grant| {
                grant.client == client && (grant.renewal_sha256 == sha256 || token.sha256 == sha256)
            };
            token.grant.as_ref().is_some_and(is_its)
        });
        match known {
            Some(token) => {
                let about = format!("token {} {}, by its client", token.id, token.name);
                self.drop_grant(&token, &about).await
            }
            None => Ok(()),
        }
    }

    /// Ends the grant with this handle, because what it was made from came twice.
    ///
    /// # Errors
    /// The store.
    pub async fn end_copied_grant(&self, id: &str) -> Result<(), ServiceError> {
        let known = self.tokens.all().into_iter().find(|token| token.id == id && token.grant.is_some());
        match known {
            Some(token) => {
                let about = format!("token {} {}: its code came twice", token.id, token.name);
                self.drop_grant(&token, &about).await
            }
            None => Ok(()),
        }
    }

    /// Who a grant's token stands for at this door, where `is_meant` says yes to its audience; `None` for what is no such token, has ended, or whose user
    /// has changed.
    #[must_use]
    pub fn principal_of_grant(
        &self,
        token: &str,
        door: Door,
        is_meant: impl Fn(&str) -> bool,
    ) -> Option<Principal> {
        if token.len() != MARK.len() + CHARS || !token.starts_with(MARK) {
            return None;
        }
        let id: [u8; SHA256_OUTPUT_LEN] = digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()?;
        let token = self.tokens.find(&id).filter(|token| !token.has_ended())?;
        let grant = token.grant.as_ref()?;
        let is_good = grant.access_ends_unix_ms > unix_ms() && is_meant(&grant.audience);
        if !is_good || !self.user_stands(grant) {
            return None;
        }
        Some(Principal::new(token.name, token.role, door).within(token.scope))
    }

    fn user_stands(&self, grant: &Grant) -> bool {
        self.stands(&grant.user, grant.user_changed_unix_ms, grant.until_unix_ms)
    }

    fn stands(&self, user: &str, changed_unix_ms: u64, until_unix_ms: Option<u64>) -> bool {
        match until_unix_ms {
            Some(until) => until > unix_ms(),
            None => self.user_unchanged(user, changed_unix_ms, Door::Mcp).is_some(),
        }
    }

    fn grant_of(&self, is_it: impl Fn(&Grant) -> bool) -> Option<Token> {
        let mut all = self.tokens.all().into_iter();
        all.find(|token| !token.has_ended() && token.grant.as_ref().is_some_and(&is_it))
    }

    async fn drop_grant(&self, token: &Token, about: &str) -> Result<(), ServiceError> {
        let who = Principal::new(token.name.clone(), token.role, Door::Mcp);
        let event = Event::new(AuditEvent::TokenRevoked, about);
        self.told_with(&who, event, Transaction::default().delete(token.key())).await?;
        Ok(())
    }
}

impl Token {
    fn is_of(&self, user: &str) -> bool {
        self.grant.as_ref().is_some_and(|grant| grant.user == user)
    }
}

/// So many seconds from now, and no later than this.
fn at_most(now: u64, secs: u64, until_unix_ms: Option<u64>) -> u64 {
    let ends = now.saturating_add(secs * 1000);
    until_unix_ms.map_or(ends, |until| ends.min(until.max(now)))
}

fn granted(id: String, access: String, expires_in_secs: u64, renewal: String, role: Role) -> Granted {
    let (access, renewal) = (Secret::new(access), Secret::new(renewal));
    Granted { id, access, expires_in_secs, renewal, role }
}

fn hashed(secret: &str) -> String {
    STANDARD.encode(digest(&SHA256, secret.as_bytes()))
}

fn new_renewal() -> Result<String, ServiceError> {
    let secret = new_secret()?;
    Ok(format!("{RENEWAL_MARK}{}", secret.trim_start_matches(MARK)))
}

/// The name that the history shows: the user's, the client's, and a part of the handle, so that no two are alike.
fn name_of(user: &str, client: &str, id: &str) -> String {
    let letters = client.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' });
    let client: String = letters
        .collect::<String>()
        .to_ascii_lowercase()
        .split('-')
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-");
    let client: String = client.chars().take(24).collect();
    // A provider's people are told apart by a colon, which no name of a token has.
    let user: String = user.chars().map(|letter| if letter == ':' { '-' } else { letter }).take(28).collect();
    format!("{user}.{client}-{id}").replace(".-", ".")
}

#[cfg(test)]
mod tests {
    use super::name_of;
    use crate::service::tokens::check_name;

    #[test]
    fn a_grant_is_named_after_its_user_and_its_client() {
        for (user, client, wanted) in [
            ("jack", "Claude (claude.ai)", "jack.claude-claude-ai-0123456789"),
            ("jack", "", "jack.0123456789"),
            ("oidc:ann@example.com", "App", "oidc-ann@example.com.app-0123456789"),
            ("jack", "<b>\u{202e}</b>", "jack.b-b-0123456789"),
        ] {
            assert_eq!(name_of(user, client, "0123456789"), wanted);
        }
        let long = name_of(&"u".repeat(64), &"c".repeat(500), "0123456789");
        assert!(check_name("it", &long).is_ok(), "{long}");
    }
}
