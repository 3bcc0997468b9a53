//! A script: its source, compiled once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlua::Error;
use mlua::chunk::Compiler;
use serde_json::Value;

use crate::{MEMORY, SOURCE, TIME, machine};

/// A script, ready for every thread.
#[derive(Debug)]
pub struct Script {
    pub(crate) code: Arc<[u8]>,
    pub(crate) name: String,
    /// What the function is handed as `conf`.
    pub(crate) conf: Value,
    /// No two scripts have the same one.
    pub(crate) number: u64,
    /// Lives as long as the script: threads drop what they made of it afterwards.
    pub(crate) alive: Arc<()>,
    reads_body: bool,
}

/// Why a script can't be used, or didn't come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The source is longer than [`SOURCE`].
    #[error("a script has at most {SOURCE} bytes, but this one has {0}")]
    TooLong(usize),
    /// It isn't Luau: where and what.
    #[error("{0}")]
    Syntax(String),
    /// It is no function.
    #[error("only a function is accepted, the source makes a {0}")]
    NoFunction(String),
    /// It failed while it ran: where and what.
    #[error("{0}")]
    Failed(String),
    /// It was stopped.
    #[error("{0}it ran longer than {ms} ms and was stopped", ms = TIME.as_millis())]
    TimedOut(String),
    /// It took too much memory.
    #[error("the scripts of this worker took more than {mib} MiB of memory and begin anew", mib = MEMORY >> 20)]
    Memory,
}

impl Script {
    /// A condition: `function(vars, opts) ... end`.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn condition(name: &str, source: &str) -> Result<Self, ScriptError> {
        Self::compiled(name, &format!("return {source}"), source.len(), Value::Null)
    }

    /// A source that returns a function, which is called with `conf` and the request's context.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn function(name: &str, source: &str, conf: Value) -> Result<Self, ScriptError> {
        Self::compiled(name, source, source.len(), conf)
    }

    /// A source whose own arguments are what it is called with, and which returns what it makes of them: `local code, body, header = ...`.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn chunk(name: &str, source: &str) -> Result<Self, ScriptError> {
        // By itself first, so that it can't end what is put around it.
        Compiler::new().compile(source).map_err(|error| bad_syntax(name, error))?;
        Self::compiled(name, &format!("return function(...) {source}\nend"), source.len(), Value::Null)
    }

    fn compiled(name: &str, source: &str, length: usize, conf: Value) -> Result<Self, ScriptError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        if length > SOURCE {
            return Err(ScriptError::TooLong(length));
        }
        let compiler = Compiler::new().set_optimization_level(1).set_debug_level(1);
        let code = compiler.compile(source).map_err(|error| bad_syntax(name, error))?;
        let script = Self {
            code: code.into(),
            name: name.to_owned(),
            conf,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            alive: Arc::default(),
            reads_body: ["read_body", "get_body", "get_post_args", "request_body_table"]
                .iter()
                .any(|word| source.contains(word)),
        };
        machine::check(&script)?;
        Ok(script)
    }

    /// Whether it asks for the request's body, which has to be read before it is called.
    #[must_use]
    pub const fn reads_body(&self) -> bool {
        self.reads_body
    }
}

fn bad_syntax(name: &str, error: Error) -> ScriptError {
    match error {
        Error::SyntaxError { message, .. } => ScriptError::Syntax(placed(name, &message)),
        other => ScriptError::Syntax(other.to_string()),
    }
}

/// `:1: what` with the name in front.
fn placed(name: &str, message: &str) -> String {
    match message.strip_prefix(':') {
        Some(rest) => format!("{name}:{rest}"),
        None => format!("{name}:{message}"),
    }
}
