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
    /// The name: 1 to 64 letters, digits, `-`, `_`, `.` or `@`. No other user, token or admin key has it.
    pub name: String,
    /// What the user may do; no more than who makes it.
    pub role: Role,
    /// The password: 10 to 256 characters.
    pub password: Secret<String>,
}

/// What a user shall have instead; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// What the user may do; no more than who changes it.
    pub role: Option<Role>,
    /// The password: 10 to 256 characters.
    pub password: Option<Secret<String>>,
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
    pub(super) fn name(&self) -> &str {
        &self.name
    }

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

fn no_user(name: &str) -> ServiceError {
    ServiceError::NoSuch(format!("there is no user {}; look at the list of users", shortened(name, 64)))
}

fn check_password(password: &Secret<String>) -> Result<(), ServiceError> {
    let length = password.expose().chars().count();
    if (SHORTEST..=LONGEST).contains(&length) {
        return Ok(());
    }
    let sentence = format!("the password has {length} characters; give {SHORTEST} to {LONGEST}");
    Err(refused(sentence, "/password"))
}

fn check_role(who: &Principal, role: Role) -> Result<(), ServiceError> {
    if role <= who.role {
        return Ok(());
    }
    Err(ServiceError::Forbidden(format!(
        "{} has the role {}, and nobody makes a user who may do more",
        plain(&who.name),
        who.role
    )))
}

impl Service {
    /// Makes a user. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], a name or password that can't be, a name that is taken, too many users, or the store.
    pub async fn add_user(&self, who: &Principal, wanted: NewUser) -> Result<UserInfo, ServiceError> {
        self.make_user(who, wanted, false).await
    }

    /// The same, as long as there is no user at all.
    ///
    /// # Errors
    /// As for [`Service::add_user`]; [`ServiceError::Conflict`] where there is one by now.
    pub async fn add_first_user(&self, who: &Principal, wanted: NewUser) -> Result<UserInfo, ServiceError> {
        self.make_user(who, wanted, true).await
    }

    async fn make_user(
        &self,
        who: &Principal,
        wanted: NewUser,
        only_first: bool,
    ) -> Result<UserInfo, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let NewUser { name, role, password } = wanted;
        check_name("the user's name", &name)?;
        check_password(&password)?;
        check_role(who, role)?;
        // Making a hash takes long; so it is looked at first, and once more when nobody else writes.
        self.is_free(&name)?;
        let now = unix_ms();
        let password = self.hashing.make(password).await?;
        let user = User { role, password, created_unix_ms: now, changed_unix_ms: now, name };
        let about = format!("user {}, role {role}", user.name);
        let transaction = Transaction::default()
            .expect(key(&user.name), Compare::Absent)
            .put(key(&user.name), encoded(&user)?);
        let may_be_made = || {
            if only_first && !self.users.is_empty() {
                return Err(ServiceError::Conflict(
                    "there is a user by now, so that no first one is made; log in".to_owned(),
                ));
            }
            self.is_free(&user.name)?;
            if self.users.all().len() >= MOST {
                let sentence = format!("there are {MOST} users already; delete those that are gone");
                return Err(refused(sentence, ""));
            }
            Ok(())
        };
        let _writing = self.turns.alone().await;
        let event = Event::new(AuditEvent::UserPut, &about);
        self.tell_while(who, event, transaction, may_be_made).await?;
        Ok(user.info())
    }

    /// Gives a user another role, another password, or both. Only an unscoped admin may.
    ///
    /// # Errors
    /// [`ServiceError::NoSuch`], [`ServiceError::Forbidden`], a password that can't be, nothing to change, or the store.
    pub async fn change_user(
        &self,
        who: &Principal,
        name: &str,
        change: UserChange,
    ) -> Result<UserInfo, ServiceError> {
        self.noted(who, consent::may_rule(who)).await?;
        let UserChange { role, password } = change;
        if role.is_none() && password.is_none() {
            return Err(refused(
                "there is nothing to change: give a role, a password, or both".to_owned(),
                "",
            ));
        }
        if let Some(password) = &password {
            check_password(password)?;
        }
        check_role(who, role.unwrap_or(Role::Viewer))?;
        let name = name.to_owned();
        if self.users.find(&name).is_none() {
            return Err(no_user(&name));
        }
        let hash = match password {
            Some(password) => Some(self.hashing.make(password).await?),
            None => None,
        };
        let _writing = self.turns.alone().await;
        let known = self.users.find(&name).ok_or_else(|| no_user(&name))?;
        let about = format!(
            "user {name}, role {}{}, changed",
            role.unwrap_or(known.role),
            if hash.is_some() { ", another password" } else { "" }
        );
        let user = User {
            role: role.unwrap_or(known.role),
            password: hash.unwrap_or(known.password),
            changed_unix_ms: unix_ms(),
            ..known
        };
        let transaction =
            Transaction::default().expect(key(&name), Compare::Exists).put(key(&name), encoded(&user)?);
        let may_be_changed = || match user.role {
            Role::Admin => Ok(()),
            _ => self.keeps_an_admin(who, &user.name),
        };
        self.tell_while(who, Event::new(AuditEvent::UserPut, &about), transaction, may_be_changed).await?;
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
            return Err(no_user(&name));
        }
        let event = Event::new(AuditEvent::UserDeleted, &format!("user {name}"));
        let transaction = Transaction::default().expect(key(&name), Compare::Exists).delete(key(&name));
        let _writing = self.turns.alone().await;
        self.tell_while(who, event, transaction, || self.keeps_an_admin(who, &name)).await?;
        Ok(())
    }

    /// Whether somebody is left who can let others in, where a user takes a role or a place away from himself. Whoever holds an admin key comes in
    /// without any user, and may do so.
    fn keeps_an_admin(&self, who: &Principal, name: &str) -> Result<(), ServiceError> {
        let is_own = who.name == name;
        let admins: Vec<User> =
            self.users.all().into_iter().filter(|user| user.role == Role::Admin).collect();
        if !is_own || !admins.iter().any(|user| user.name == name) || admins.len() > 1 {
            return Ok(());
        }
        let sentence = format!(
            "{} is the last user with the role admin, and would leave nobody who makes users; make another admin first, or let the holder of an \
             admin key do it (such as `usher user remove {}`)",
            plain(name),
            plain(name)
        );
        Err(refused(sentence, ""))
    }

    /// Whether there is no user yet.
    #[must_use]
    pub fn knows_no_user(&self) -> bool {
        self.users.is_empty()
    }

    /// When a user's role or password were last set, in milliseconds since 1970.
    #[must_use]
    pub fn user_changed(&self, name: &str) -> Option<u64> {
        self.users.find(&name.to_owned()).map(|user| user.changed_unix_ms)
    }

    /// A user who came in when role and password were those of this time; `None` where they are others by now, or the user is gone.
    #[must_use]
    pub fn user_unchanged(&self, name: &str, changed_unix_ms: u64, door: Door) -> Option<Principal> {
        let user = self.users.find(&name.to_owned())?;
        (user.changed_unix_ms == changed_unix_ms).then(|| Principal::new(user.name, user.role, door))
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
                self.password_failed(door, told).await;
                None
            }
        }
    }
}
