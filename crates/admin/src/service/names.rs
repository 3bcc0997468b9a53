//! Names of principals: one each, over admin keys, tokens and users, so that the history and the audit never leave open who it was.

use super::tokens::refused;
use super::{Service, ServiceError};

/// Names that Usher gives by itself.
const OWN: [&str; 6] = ["keyless", "local-plugin", "local-agent", "control", "usher", "demo"];

impl Service {
    /// Refuses a name that somebody has. Names that differ by case alone are the same to a reader. The name of a token that has ended is free.
    pub(super) fn is_free(&self, name: &str) -> Result<(), ServiceError> {
        let is = |other: &str| other.eq_ignore_ascii_case(name);
        let whose = if OWN.iter().any(|own| is(own)) {
            "it is Usher's own"
        } else if self.parts.rules.taken_names.iter().any(|taken| is(taken)) {
            "an admin key has it"
        } else if self.users.all().iter().any(|user| is(user.name())) {
            "a user has it: change that one (PUT /usher/v1/users/NAME, `usher user set NAME`)"
        } else if self.tokens.all().iter().any(|token| is(token.name()) && !token.has_ended()) {
            "a token has it: revoke that one"
        } else {
            return Ok(());
        };
        let sentence = format!(
            "the name {name:?} is taken, {whose}, or choose another, so that it stays clear who acted"
        );
        Err(refused(sentence, "/name"))
    }

    /// Tells of names that were given before an admin key took them.
    pub(super) fn tell_of_namesakes(&self) {
        for taken in &self.parts.rules.taken_names {
            let users = self.users.all();
            let tokens = self.tokens.all();
            let mut all = users.iter().map(|user| user.name()).chain(tokens.iter().map(|token| token.name()));
            if all.any(|name| name.eq_ignore_ascii_case(taken)) {
                tracing::warn!(
                    name = %taken,
                    "an admin key has the name of a token or user: the history can't tell them apart; rename the key, or revoke the other"
                );
            }
        }
    }
}
