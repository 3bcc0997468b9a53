//! The contract of a plugin: its name, its configuration, and the phases it takes part in.
//!
//! A plugin is one file. What the user writes (`Config`) and what runs (`Self`) are two types; the crossing happens once, in `build`.

use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use usher_model::schema::{Near, Violation};

use crate::body::BodyStep;
use crate::env::Env;
use crate::exchange::Exchange;
use crate::reply::Reply;

/// A plugin. The value is what runs: shared by all workers, built once per change of its configuration.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// As the Admin API spells it: `ip-restriction`.
    const NAME: &'static str;
    /// Higher runs first within a phase. Equals APISIX's number.
    const PRIORITY: i32;
    /// The phases this plugin takes part in.
    const PHASES: Phases<Self>;
    /// It sees answers behind all other plugins, whatever its priority: it codes what they have made.
    const OUTERMOST: bool = false;
    /// What the user writes: serde reads it, schemars describes it, its doc comments are the manual.
    type Config: DeserializeOwned + JsonSchema;

    /// Makes of a configuration what runs: compiles patterns, parses networks. Does no I/O.
    ///
    /// # Errors
    /// A [`BuildError`] refuses the write; when it comes by a watch, the last good version goes on.
    fn build(config: Self::Config, env: &Env<'_>) -> Result<Self, BuildError>;

    /// Runs in place of a hook on the way in that `_meta.filter` passes over. A plugin that vouches for headers whose names come from its
    /// configuration takes a client's own copies away here: nobody vouches for them on this request.
    fn passed_over(&self, _: &mut Exchange) {}
}

/// The one list of phases a plugin takes part in; the rest is `..Phases::NONE`.
pub struct Phases<P> {
    /// Before the consumer is known; authentication and rewriting.
    pub rewrite: Option<Hook<P>>,
    /// After the consumer is known; restrictions and limits.
    pub access: Option<Hook<P>>,
    /// After a node was chosen; again on every retry.
    pub before_proxy: Option<Hook<P>>,
    /// Changes the request's body on its way. `None` from the function lets it stream untouched.
    pub request_body: Option<StartBody<P>>,
    /// Sees the head of every answer, the gateway's own too.
    pub header_filter: Option<fn(&P, &mut Exchange) -> Flow>,
    /// Changes the answer's body on its way. `None` from the function lets it stream untouched.
    pub body_filter: Option<StartBody<P>>,
    /// Sees an answer that a plugin or the gateway itself gives in the place of an upstream's, before its head passes the plugins, and may make
    /// another of it. Only where its rewrite phase has come: what ends a request before that isn't its business.
    pub exit: Option<fn(&P, &mut Exchange, Reply) -> Reply>,
    /// Takes out of the finished exchange what nobody may log, before any plugin's log phase sees it.
    pub mask: Option<fn(&P, &mut Exchange)>,
    /// Exactly once at the end, also when the client went away; may not fail or wait.
    pub log: Option<fn(&P, &mut Exchange)>,
}

impl<P> Phases<P> {
    /// No phase at all.
    pub const NONE: Self = Self {
        rewrite: None,
        access: None,
        before_proxy: None,
        request_body: None,
        header_filter: None,
        body_filter: None,
        exit: None,
        mask: None,
        log: None,
    };
}

/// Looks at the head and says how this exchange's body is changed; `None` lets it stream untouched.
pub type StartBody<P> = fn(&P, &mut Exchange) -> Option<Box<dyn BodyStep>>;

/// A function of a phase: one that answers at once, or one that waits for somebody else.
pub enum Hook<P> {
    /// No future, no allocation.
    Now(fn(&P, &mut Exchange) -> Flow),
    /// Calls out: one allocation a request; need not be `Send`.
    Later(for<'a> fn(&'a P, &'a mut Exchange) -> LocalBoxFuture<'a, Flow>),
    /// Calls out only where its configuration asks for it, or only for some requests.
    Either(for<'a> fn(&'a P, &'a mut Exchange) -> Called<'a>),
}

/// The outcome of calling a hook: an answer at once, or a future of one.
pub enum Called<'a> {
    /// It is there.
    Now(Flow),
    /// It comes.
    Later(LocalBoxFuture<'a, Flow>),
}

/// What comes after a plugin: the next one, or an answer. An error is an answer too.
#[derive(Debug)]
pub enum Flow {
    /// On to the next plugin.
    Continue,
    /// The request ends here with this answer.
    Reply(Box<Reply>),
}

impl From<Reply> for Flow {
    fn from(reply: Reply) -> Self {
        Self::Reply(Box::new(reply))
    }
}

/// Why a plugin can't be built from its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BuildError {
    /// What is wrong, with field, value and what is allowed.
    pub message: String,
    /// The field of the plugin's body that is nearest to it, where its schema says so.
    pub near: Option<Box<Near>>,
}

impl BuildError {
    /// An error with this text. What it quotes may be long, and nobody reads all of it: its middle is left out then.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: shortened(message.into()), near: None }
    }

    /// What a schema says of a body.
    pub fn of(violation: Violation) -> Self {
        let Violation { sentence, near, .. } = violation;
        let near = Near { sentence: shortened(near.sentence), ..near };
        Self { near: Some(Box::new(near)), ..Self::new(sentence) }
    }
}

/// The longest text of an error, in bytes, and how much of a longer one's beginning and end is kept.
const LONGEST: usize = 2_048;
const BEGINNING: usize = 1_200;
const END: usize = 600;

fn shortened(message: String) -> String {
    if message.len() <= LONGEST {
        return message;
    }
    let (start, end) =
        (message.floor_char_boundary(BEGINNING), message.ceil_char_boundary(message.len() - END));
    let (kept, tail) = (message.get(..start).unwrap_or_default(), message.get(end..).unwrap_or_default());
    format!("{kept} ... ({} bytes left out) ... {tail}", end - start)
}

#[cfg(test)]
mod tests {
    use super::BuildError;

    #[test]
    fn an_error_that_quotes_much_keeps_its_beginning_and_its_end() {
        for letter in ["x", "\u{e9}"] {
            let error = BuildError::new(format!("the member {} is too long", letter.repeat(1 << 20)));
            assert!(error.message.len() < 2_048, "{} bytes", error.message.len());
            assert!(error.message.starts_with("the member ") && error.message.ends_with(" is too long"));
        }
        assert_eq!(BuildError::new("short").message, "short");
    }
}
