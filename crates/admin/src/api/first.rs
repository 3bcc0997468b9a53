//! The first user: made by whoever reads the one-time code on the terminal of a server that knows nobody yet.
//!
//! The code is what tells the person who started the server from everybody else who reaches its port. It is of use once, for a day, and only
//! while there is no user; a restart makes another.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use usher_model::secret::Secret;

/// How long a code can be used.
const LASTS: Duration = Duration::from_secs(24 * 60 * 60);
/// Wrong codes, from whatever address, after which the code is of no use any more.
const MOST_WRONG: u32 = 100;
/// The letters of a code: none that is taken for another.
const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// How many letters a code has, without the hyphens: 80 bits.
const LENGTH: usize = 16;

/// A fresh code, such as `K7QM-2XRT-PAHB-9WED`; `None` where the system gives no randomness.
#[must_use]
pub fn setup_code() -> Option<Secret<String>> {
    let mut bytes = [0; LENGTH];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let mut code = String::with_capacity(LENGTH + LENGTH / 4);
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            code.push('-');
        }
        let letter = LETTERS.get(usize::from(*byte) % LETTERS.len())?;
        code.push(char::from(*letter));
    }
    Some(Secret::new(code))
}

/// The code that this process takes.
pub(super) struct First(Mutex<Option<Code>>);

struct Code {
    letters: Secret<String>,
    until: Instant,
    wrong: u32,
}

impl First {
    /// Takes this code; none at all without.
    pub(super) fn new(code: Option<Secret<String>>) -> Self {
        let code = code.map(|code| Code {
            letters: Secret::new(bare(code.expose())),
            until: Instant::now() + LASTS,
            wrong: 0,
        });
        Self(Mutex::new(code))
    }

    /// Whether a code is still taken.
    pub(super) fn is_open(&self) -> bool {
        let code = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        code.as_ref().is_some_and(Code::lasts)
    }

    /// Whether this is the code. Hyphens, blanks and case don't matter.
    pub(super) fn is(&self, given: &str) -> bool {
        let mut code = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = code.as_mut().filter(|code| code.lasts()) else { return false };
        let right: bool = known.letters.expose().as_bytes().ct_eq(bare(given).as_bytes()).into();
        if !right {
            known.wrong = known.wrong.saturating_add(1);
        }
        right
    }

    /// Takes no code any more.
    pub(super) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Code {
    fn lasts(&self) -> bool {
        self.until > Instant::now() && self.wrong < MOST_WRONG
    }
}

fn bare(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::{First, LASTS, MOST_WRONG, setup_code};

    #[tokio::test(start_paused = true)]
    async fn a_code_is_taken_however_it_is_typed_for_a_day_and_against_no_guesser() {
        let code = setup_code().unwrap();
        assert_eq!(code.expose().len(), 19);
        assert_ne!(code, setup_code().unwrap());
        let first = First::new(Some(code.clone()));
        assert!(first.is_open() && first.is(code.expose()));
        assert!(first.is(&format!(" {} ", code.expose().to_lowercase().replace('-', ""))));
        assert!(!first.is("") && !first.is("AAAA-AAAA-AAAA-AAAA"));
        tokio::time::advance(LASTS).await;
        assert!(!first.is_open() && !first.is(code.expose()));

        let guessed = First::new(Some(code.clone()));
        for _ in 0..MOST_WRONG {
            assert!(!guessed.is("wrong"));
        }
        assert!(!guessed.is(code.expose()));
        let closed = First::new(Some(code.clone()));
        closed.close();
        assert!(!closed.is(code.expose()) && !First::new(None).is(""));
    }
}
