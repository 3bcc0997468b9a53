//! Tokens: secrets of our own making that stand for a principal, with a role, a scope and an end.
//!
//! The store holds the digest of a token only, so that whoever reads a backup can act as nobody. A token is dead on every gateway as soon as
//! the store's watch has told of its end.

mod grants;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use usher_model::change::{Door, Principal, Role};
use usher_model::scope::Scope;
use usher_model::secret::Secret;
use usher_store::{Compare, Transaction};

use super::access::Row;
use super::audit::{AuditEvent, Event};
use super::escape::{plain, shortened};
use super::{Service, ServiceError, consent, encoded, new_id, random, unix_ms};

pub use grants::{Granted, GrantedBy, NewGrant};

use grants::Grant;

/// What the keys of all tokens begin with.
const PREFIX: &str = "/usher/tokens/";

/// What every token begins with, so that people and scanners know one when they see it.
const MARK: &str = "ut_";

/// Random characters of a token: letters and digits, of which 40 are 238 bits.
const CHARS: usize = 40;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The most tokens there are; those that have ended make room.
const MOST: usize = 10_000;

/// The longest that a token may be given, in seconds: ten years.
const LONGEST_SECS: u64 = 10 * 366 * 24 * 3600;

/// A token as somebody wants it.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The name that the history shows: 1 to 64 letters, digits, `-`, `_`, `.` or `@`. No other token, user or admin key
    /// has it.
    pub name: String,
    /// What it may do; no more than who makes it.
    pub role: Role,
    /// What it may read and change.
    pub scope: Scope,
    /// After how many seconds it ends, from 1 to ten years. Default `None`: when it is revoked.
    pub expires_in_secs: Option<u64>,
}

/// What is known of a token. The token itself is shown once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its handle: 10 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it may read and change.
    pub scope: Scope,
    /// Who made it.
    pub created_by: String,
    /// When, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When it ends, in milliseconds since 1970.
    pub expires_unix_ms: Option<u64>,
}

/// A token as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Token {
    id: String,
    name: String,
    role: Role,
    scope: Scope,
    created_by: String,
    created_unix_ms: u64,
    expires_unix_ms: Option<u64>,
    /// SHA-256 of the token, in base64.
    sha256: String,
    /// What is known of it where a client got it in a user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<Grant>,
    /// The revision that it was written at, so that no two renew it at the same time.
    #[serde(skip)]
    revision: u64,
}

impl Row for Token {
    const PREFIX: &'static str = PREFIX;
    type Id = [u8; SHA256_OUTPUT_LEN];

    fn id(&self) -> Option<Self::Id> {
        STANDARD.decode(&self.sha256).ok()?.try_into().ok()
    }

    fn written_at(&mut self, revision: u64) {
        self.revision = revision;
    }
}

impl Token {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn has_ended(&self) -> bool {
        self.expires_unix_ms.is_some_and(|end| end <= unix_ms())
    }

    fn key(&self) -> String {
        format!("{PREFIX}{}", self.id)
    }

    fn info(self) -> TokenInfo {
        let Self { id, name, role, scope, created_by, created_unix_ms, expires_unix_ms, .. } = self;
        TokenInfo { id, name, role, scope, created_by, created_unix_ms, expires_unix_ms }
    }
}

impl Service {
    /// Makes a token and gives it out, this once. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], a name or scope that can't be, too many tokens, or the store.
    pub async fn create_token(
        &self,
        who: &Principal,
        wanted: NewToken,
    ) -> Result<(TokenInfo, Secret<String>), ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let NewToken { name, role, scope, expires_in_secs } = wanted;
        check_name("the token's name", &name)?;
        scope
            .check()
            .map_err(|sentence| refused(format!("the token's scope is refused: {sentence}"), "/scope"))?;
        if expires_in_secs.is_some_and(|secs| !(1..=LONGEST_SECS).contains(&secs)) {
            let sentence = format!(
                "a token ends after 1 to {LONGEST_SECS} seconds; leave it out for one without an end"
            );
            return Err(refused(sentence, "/expires_in_secs"));
        }
        if role > who.role {
            return Err(ServiceError::Forbidden(format!(
                "{} has the role {}, and nobody makes a token that may do more",
                plain(&who.name),
                who.role
            )));
        }
        let secret = new_secret()?;
        let now = unix_ms();
        let token = Token {
            id: new_id()?,
            name,
            role,
            scope,
            created_by: who.name.clone(),
            created_unix_ms: now,
            expires_unix_ms: expires_in_secs.map(|secs| now.saturating_add(secs.saturating_mul(1000))),
            sha256: STANDARD.encode(digest(&SHA256, secret.as_bytes())),
            grant: None,
            revision: 0,
        };
        let mut transaction = Transaction::default().expect(token.key(), Compare::Absent);
        let known = self.tokens.all();
        if known.len() >= MOST {
            let ended = known.into_iter().find(Token::has_ended).ok_or_else(|| {
                refused(format!("there are {MOST} tokens already; revoke those that nobody needs"), "")
            })?;
            transaction = transaction.delete(ended.key());
        }
        transaction = transaction.put(token.key(), encoded(&token)?);
        let about = format!("token {} {}, role {}, for {}", token.id, token.name, token.role, token.scope);
        let _writing = self.turns.alone().await;
        let event = Event::new(AuditEvent::TokenMade, &about);
        self.tell_while(who, event, transaction, || self.is_free(&token.name)).await?;
        Ok((token.info(), Secret::new(secret)))
    }

    /// All tokens, oldest first, also those that have ended by themselves. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or the store.
    pub async fn list_tokens(&self, who: &Principal) -> Result<Vec<TokenInfo>, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let mut all: Vec<TokenInfo> = self.tokens.all().into_iter().map(Token::info).collect();
        all.sort_by(|one, other| (one.created_unix_ms, &one.id).cmp(&(other.created_unix_ms, &other.id)));
        Ok(all)
    }

    /// Ends a token. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::NoSuch`], [`ServiceError::Forbidden`], or the store.
    pub async fn revoke_token(&self, who: &Principal, id: &str) -> Result<(), ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let known = self.tokens.all().into_iter().find(|token| token.id == id);
        let token = known.ok_or_else(|| {
            ServiceError::NoSuch(format!(
                "there is no token {}; look at the list of tokens",
                shortened(id, 40)
            ))
        })?;
        let about = format!("token {} {}", token.id, token.name);
        let event = Event::new(AuditEvent::TokenRevoked, &about);
        self.told_with(who, event, Transaction::default().delete(token.key())).await?;
        Ok(())
    }

    /// Who a token stands for at this door; `None` for what is no token, or one that has ended, or a grant's, which is good for its audience alone. Costs
    /// one digest and one look-up.
    #[must_use]
    pub fn principal_of(&self, token: &str, door: Door) -> Option<Principal> {
        if token.len() != MARK.len() + CHARS || !token.starts_with(MARK) {
            return None;
        }
        let id: [u8; SHA256_OUTPUT_LEN] = digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()?;
        let token = self.tokens.find(&id).filter(|token| !token.has_ended() && token.grant.is_none())?;
        Some(Principal::new(token.name, token.role, door).within(token.scope))
    }
}

/// A refusal of what was given.
pub(super) fn refused(sentence: String, pointer: &str) -> ServiceError {
    ServiceError::Invalid { sentence, key: None, pointer: pointer.to_owned(), near: None }
}

/// Whether this can be a token's or user's name.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), ServiceError> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-_.@".contains(letter);
    if (1..=64).contains(&name.len()) && name.chars().all(good) {
        return Ok(());
    }
    Err(refused(
        format!("{what} {:?} is refused: give 1 to 64 letters, digits, -, _, . or @", shortened(name, 64)),
        "/name",
    ))
}

fn new_secret() -> Result<String, ServiceError> {
    let mut secret = MARK.to_owned();
    while secret.len() < MARK.len() + CHARS {
        // Bytes that would favour some letters over others are passed over.
        let letters = random::<CHARS>()?.into_iter().filter(|byte| *byte < 248);
        let letters = letters.filter_map(|byte| ALPHABET.get(usize::from(byte % 62)));
        secret.extend(letters.map(|letter| char::from(*letter)).take(MARK.len() + CHARS - secret.len()));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::new_secret;

    #[test]
    fn tokens_are_long_and_different() {
        let all: std::collections::HashSet<String> = (0..1000).map(|_| new_secret().unwrap()).collect();
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|token| token.len() == 43 && token.starts_with("ut_")));
        let letters: std::collections::HashSet<char> =
            all.iter().flat_map(|token| token.chars().skip(3)).collect();
        assert_eq!(letters.len(), 62);
    }
}
