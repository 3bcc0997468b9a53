//! Users of the console: people with a name and a password.

mod password;

use serde::{Deserialize, Serialize};
use usher_model::change::{Door, Principal, Role};
use usher_model::secret::Secret;
use usher_store::{Compare, Transaction};

use super::access::Row;
use super::audit::{AuditEvent, Event};
use super::escape::{plain, shortened};
use super::tokens::{check_name, refused};
use super::{Service, ServiceError, consent, encoded, unix_ms};

use password::Hash;
pub(super) use password::Hashing;

/// What the keys of all users begin with.
const PREFIX: &str = "/usher/users/";

/// The most users there are.
const MOST: usize = 1000;

/// The least and the most characters of a password.
const SHORTEST: usize = 10;
const LONGEST: usize = 256;

/// A user as somebody wants it.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name: 1 to 64 letters, digits, `-`, `_`, `.` or `@`.
    pub name: String,
    /// What the user may do; no more than who makes it.
    pub role: Role,
    /// The password: 10 to 256 characters.
    pub password: Secret<String>,
}

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// The name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When role or password were last set, in milliseconds since 1970.
    pub changed_unix_ms: u64,
}

/// A user as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct User {
    name: String,
    role: Role,
    password: Hash,
    created_unix_ms: u64,
    changed_unix_ms: u64,
}

impl Row for User {
    const PREFIX: &'static str = PREFIX;
    type Id = String;

    fn id(&self) -> Option<String> {
        Some(self.name.clone())
    }
}

impl User {
    fn info(&self) -> UserInfo {
        UserInfo {
            name: self.name.clone(),
            role: self.role,
            created_unix_ms: self.created_unix_ms,
            changed_unix_ms: self.changed_unix_ms,
        }
    }
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

impl Service {
    /// Makes a user, or gives one another role and password. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], a name or password that can't be, too many users, or the store.
    pub async fn put_user(&self, who: &Principal, wanted: NewUser) -> Result<UserInfo, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let NewUser { name, role, password } = wanted;
        check_name("the user's name", &name)?;
        let length = password.expose().chars().count();
        if !(SHORTEST..=LONGEST).contains(&length) {
            let sentence = format!("the password has {length} characters; give {SHORTEST} to {LONGEST}");
            return Err(refused(sentence, "/password"));
        }
        if role > who.role {
            return Err(ServiceError::Forbidden(format!(
                "{} has the role {}, and nobody makes a user who may do more",
                plain(&who.name),
                who.role
            )));
        }
        let known = self.users.find(&name);
        if known.is_none() && self.users.all().len() >= MOST {
            return Err(refused(format!("there are {MOST} users already; delete those that are gone"), ""));
        }
        let now = unix_ms();
        let user = User {
            role,
            password: self.hashing.make(password).await?,
            created_unix_ms: known.as_ref().map_or(now, |known| known.created_unix_ms),
            changed_unix_ms: now,
            name,
        };
        let about =
            format!("user {}, role {}{}", user.name, role, if known.is_some() { ", changed" } else { "" });
        let transaction = Transaction::default().put(key(&user.name), encoded(&user)?);
        self.told_with(who, Event::new(AuditEvent::UserPut, &about), transaction).await?;
        Ok(user.info())
    }

    /// All users by name. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or the store.
    pub async fn list_users(&self, who: &Principal) -> Result<Vec<UserInfo>, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let mut all: Vec<UserInfo> = self.users.all().iter().map(User::info).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Deletes a user. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::NoSuch`], [`ServiceError::Forbidden`], or the store.
    pub async fn delete_user(&self, who: &Principal, name: &str) -> Result<(), ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let name = name.to_owned();
        if self.users.find(&name).is_none() {
            let sentence = format!("there is no user {}; look at the list of users", shortened(&name, 64));
            return Err(ServiceError::NoSuch(sentence));
        }
        let event = Event::new(AuditEvent::UserDeleted, &format!("user {name}"));
        let transaction = Transaction::default().expect(key(&name), Compare::Exists).delete(key(&name));
        self.told_with(who, event, transaction).await?;
        Ok(())
    }

    /// The principal of a user, where the password is the right one. Takes about as long for a name that isn't known.
    pub async fn check_user(&self, name: &str, password: &Secret<String>, door: Door) -> Option<Principal> {
        let known = self.users.find(&name.to_owned());
        // What nobody is called may be a password in the wrong field.
        let told = if known.is_some() { name } else { "an unknown name" };
        let is_right = match &known {
            _ if password.expose().chars().count() > LONGEST => false,
            Some(user) => self.hashing.check(user.password.clone(), password.clone()).await,
            None => self.hashing.check_nobody(password.clone()).await,
        };
        // A user that was deleted while the password was looked at is gone.
        match known.filter(|_| is_right).and_then(|_| self.users.find(&name.to_owned())) {
            Some(user) => Some(Principal::new(user.name, user.role, door)),
            None => {
                self.login_failed(door, told).await;
                None
            }
        }
    }
}
