//! Codes: what a person's yes is on its way through the browser. Each is good once and for a minute, for the client, the address and the challenge that
//! the person was asked with.
//!
//! They are in memory, so that a code is redeemed at the gateway that gave it. One that comes for the second time was copied, and takes the token that
//! was made of it along.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use usher_admin::service::GrantedBy;
use usher_model::change::{Principal, Role};

use super::{hashed, random};

/// How long a code can be redeemed.
const GOOD: Duration = Duration::from_secs(60);
/// How long a redeemed code is remembered.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// Codes that are remembered; of more, the oldest goes.
const MOST: usize = 1000;

/// What somebody said yes to.
#[derive(Clone, Debug)]
pub(super) struct Yes {
    pub(super) client: String,
    pub(super) client_name: String,
    pub(super) redirect: String,
    pub(super) challenge: String,
    pub(super) audience: String,
    pub(super) role: Role,
    pub(super) user: Principal,
    pub(super) by: GrantedBy,
}

/// What comes of a code.
pub(super) enum Redeemed {
    /// It was good, and is used up.
    Good(Box<Yes>),
    /// It was used before; what was made of it, if anything was.
    Copied(Option<String>),
    /// There is none.
    Unknown,
}

struct Code {
    at: Instant,
    yes: Option<Yes>,
    made: Option<String>,
}

/// The codes.
#[derive(Default)]
pub(super) struct Codes(Mutex<HashMap<String, Code>>);

impl Codes {
    /// A code for a yes; `None` where the system gives no randomness.
    pub(super) fn give(&self, yes: Yes) -> Option<String> {
        let code = random()?;
        let mut codes = self.lock();
        let now = Instant::now();
        codes.retain(|_, code| now.duration_since(code.at) < REMEMBERED);
        if codes.len() >= MOST {
            let oldest = codes.iter().min_by_key(|(_, code)| code.at).map(|(digest, _)| digest.clone());
            oldest.and_then(|digest| codes.remove(&digest));
        }
        codes.insert(hashed(&code), Code { at: now, yes: Some(yes), made: None });
        Some(code)
    }

    /// Redeems a code, which uses it up whatever comes of it.
    pub(super) fn redeem(&self, code: &str) -> Redeemed {
        let mut codes = self.lock();
        let Some(code) = codes.get_mut(&hashed(code)) else { return Redeemed::Unknown };
        match code.yes.take() {
            Some(yes) if code.at.elapsed() < GOOD => Redeemed::Good(Box::new(yes)),
            Some(_) => Redeemed::Unknown,
            None => Redeemed::Copied(code.made.clone()),
        }
    }

    /// Remembers which token was made of a code.
    pub(super) fn made(&self, code: &str, token: &str) {
        if let Some(code) = self.lock().get_mut(&hashed(code)) {
            code.made = Some(token.to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Code>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use usher_admin::service::GrantedBy;
    use usher_model::change::{Door, Principal, Role};

    use super::{Codes, GOOD, MOST, Redeemed, Yes};

    fn yes() -> Yes {
        Yes {
            client: "c".to_owned(),
            client_name: "C".to_owned(),
            redirect: "app:/cb".to_owned(),
            challenge: "x".to_owned(),
            audience: "http://localhost".to_owned(),
            role: Role::Chat,
            user: Principal::new("jack", Role::Admin, Door::Console),
            by: GrantedBy::Password { changed_unix_ms: 1 },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_code_is_good_once_and_for_a_minute() {
        let codes = Codes::default();
        let code = codes.give(yes()).unwrap();
        assert!(matches!(codes.redeem("another"), Redeemed::Unknown));
        assert!(matches!(codes.redeem(&code), Redeemed::Good(_)));
        codes.made(&code, "0123456789");
        assert!(matches!(codes.redeem(&code), Redeemed::Copied(Some(id)) if id == "0123456789"));
        let late = codes.give(yes()).unwrap();
        tokio::time::advance(GOOD).await;
        assert!(matches!(codes.redeem(&late), Redeemed::Unknown));
        for _ in 0..MOST * 2 {
            codes.give(yes()).unwrap();
        }
        assert_eq!(codes.lock().len(), MOST);
    }
}
