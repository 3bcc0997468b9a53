//! Scripts of routes and plugins: Luau, bounded in time and memory, with the `ngx` and `apisix.core` that scripts of gateways use.
//!
//! A script is compiled once per change and runs on the worker whose request asks for it: each thread has one machine of its own, where nothing
//! reads files, starts programs or loads code. A watchdog stops a call after [`TIME`], and a machine that takes more than [`MEMORY`] is thrown
//! away. What a script asks of its request goes through one function that is there for the time of one call (`host`), so that no script
//! ever holds on to a request.
//!
//! The language is Luau and not LuaJIT because LuaJIT can't be stopped once it runs compiled code. What is written in Luau itself (`prelude/`)
//! is the surface of `ngx` and `apisix.core`; what needs speed or bytes is native (`native/`).
//!
//! What it is not: it reads no files, opens no sockets and loads no code.

mod host;
mod machine;
mod native;
mod pattern;
mod script;

use std::time::Duration;

pub use host::body::BodyScript;
pub use host::condition::{Options, condition};
pub use host::exit::exit;
pub use host::request::{Ended, Phase, apply, run, said};
pub use host::template::Template;
pub use pattern::{BadPattern, pattern};
pub use script::{Script, ScriptError};

/// How long one call may take.
pub const TIME: Duration = Duration::from_millis(50);

/// How much all scripts of one thread may hold together, in bytes.
pub const MEMORY: usize = 64 << 20;

/// The longest source of one script, in bytes.
pub const SOURCE: usize = 1 << 20;

/// The most that one call may say to the client, in bytes.
pub const SAID: usize = 4 << 20;

#[cfg(test)]
mod tests;
