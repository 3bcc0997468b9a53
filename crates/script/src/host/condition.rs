//! `filter_func`: whether a route is taken, decided by a script that sees variables and nothing else.

use mlua::{Lua, MultiValue, Result, Value};
use usher_model::variables::Variables;

use super::{Host, name, string, unavailable, variable};
use crate::machine::{self, With};
use crate::script::{Script, ScriptError};

/// What the second argument of a condition says beside the variables.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The host: lower case, no port.
    pub host: &'a str,
    /// The canonical path.
    pub uri: &'a str,
    /// The method.
    pub method: &'a str,
    /// The client's address.
    pub remote_addr: &'a str,
}

/// Whether a condition holds: whatever the script returns that is neither nil nor false.
///
/// # Errors
/// [`ScriptError`]; a condition that fails doesn't hold.
pub fn condition(script: &Script, variables: &dyn Variables, options: Options<'_>) -> Result2<bool> {
    let mut host = ConditionHost { variables, options };
    let (exited, verdict): (bool, Value) = machine::call(script, With::Condition, &mut host)?;
    Ok(!exited && !matches!(verdict, Value::Nil | Value::Boolean(false)))
}

type Result2<T> = std::result::Result<T, ScriptError>;

struct ConditionHost<'a> {
    variables: &'a dyn Variables,
    options: Options<'a>,
}

impl Host for ConditionHost<'_> {
    fn call(&mut self, lua: &Lua, what: &str, arguments: MultiValue) -> Result<MultiValue> {
        match what {
            "var" => variable(lua, self.variables, &name(lua, &arguments, 0)?),
            "option" => {
                let name = name(lua, &arguments, 0)?;
                let value = match name.as_str() {
                    "host" => Some(self.options.host),
                    "uri" => Some(self.options.uri),
                    "method" => Some(self.options.method),
                    "remote_addr" => Some(self.options.remote_addr),
                    _ => None,
                };
                string(lua, value)
            }
            "header" => {
                let field = name(lua, &arguments, 0)?.to_ascii_lowercase().replace('-', "_");
                variable(lua, self.variables, &format!("http_{field}"))
            }
            "phase" => string(lua, Some("access")),
            other => Err(unavailable(other, "a filter_func")),
        }
    }
}
