//! A thread's machine: one sandboxed Luau state, the scripts that were loaded into it, and the watchdog.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Instant;

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{
    Error, FromLuaMulti, Function, IntoLuaMulti, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState,
};

use crate::host::exit::Given;
use crate::host::{self, Host};
use crate::script::{Script, ScriptError};
use crate::{MEMORY, TIME, native};

/// What the watchdog says; it is told from other failures by it.
const STOPPED: &str = "the script was stopped";

/// Loaded scripts beyond which those that nobody has any more are looked for.
const SWEEP: usize = 64;

/// The parts of the surface that are written in Luau, in the order in which they lean on each other.
const PRELUDE: [(&str, &str); 3] = [
    ("base", include_str!("prelude/base.luau")),
    ("ngx", include_str!("prelude/ngx.luau")),
    ("core", include_str!("prelude/core.luau")),
];

/// A thread's machine.
pub(crate) struct Machine {
    lua: Lua,
    run: Function,
    environment: Function,
    context: Function,
    vars: Table,
    options: Table,
    deadline: Rc<Cell<Option<Instant>>>,
    loaded: RefCell<HashMap<u64, Loaded>>,
}

/// A script in the machine.
#[derive(Clone)]
struct Loaded {
    alive: Weak<()>,
    function: Function,
    conf: Value,
}

thread_local! {
    static MACHINE: RefCell<Option<Rc<Machine>>> = const { RefCell::new(None) };
}

/// What a call is handed.
pub(crate) enum With<'a> {
    /// `vars` and `opts`.
    Condition,
    /// `conf` and the request's context.
    Context(&'a Table),
    /// Data, `vars`, and the body that the data was made of.
    Data(&'a serde_json::Value, Option<&'a [u8]>),
    /// An answer of the gateway's own.
    Exit(&'a Given<'a>),
}

/// Calls a script. The first value says whether it ended by `ngx.exit`.
///
/// # Errors
/// [`ScriptError`]; the machine is there for the next one.
pub(crate) fn call<R: FromLuaMulti>(
    script: &Script,
    with: With<'_>,
    host: &mut dyn Host,
) -> Result<R, ScriptError> {
    let machine = current()?;
    let called = machine.call(script, with, host);
    settle(&machine, script, called)
}

/// Loads a script to see whether it makes a function.
///
/// # Errors
/// [`ScriptError`].
pub(crate) fn check(script: &Script) -> Result<(), ScriptError> {
    let machine = current()?;
    let checked = machine.bounded(|| machine.load(script)).map(drop);
    // A check leaves nothing behind: it may have been made by a thread that never serves.
    machine.loaded.borrow_mut().remove(&script.number);
    settle(&machine, script, checked)
}

/// The context that is in this place, or a new one.
///
/// # Errors
/// There is no room for one.
pub(crate) fn context(place: &mut Option<Table>) -> Result<Table, ScriptError> {
    if let Some(context) = place {
        return Ok(context.clone());
    }
    let machine = current()?;
    let made: Table = machine.context.call(()).map_err(|_| ScriptError::Memory)?;
    Ok(place.insert(made).clone())
}

/// A returned body: a text as it is, anything else as JSON with a newline.
///
/// # Errors
/// It can't be written as JSON.
pub(crate) fn body_text(value: &Value) -> Result<Vec<u8>, ScriptError> {
    if let Value::String(text) = value {
        return Ok(text.as_bytes().to_vec());
    }
    let machine = current()?;
    let mut json = native::json::text(&machine.lua, value)
        .map_err(|reason| ScriptError::Failed(format!("what it returned can't be sent: {reason}")))?;
    json.push('\n');
    Ok(json.into_bytes())
}

/// What a field is set to: nothing, one text or several.
///
/// # Errors
/// It can't be the value of a field.
pub(crate) fn texts(value: &Value) -> Result<Vec<Vec<u8>>, ScriptError> {
    let machine = current()?;
    host::values(&machine.lua, value).map_err(|error| ScriptError::Failed(error.to_string()))
}

fn current() -> Result<Rc<Machine>, ScriptError> {
    MACHINE.with_borrow_mut(|current| {
        if let Some(machine) = current {
            return Ok(Rc::clone(machine));
        }
        let made = Machine::new()
            .map_err(|error| ScriptError::Failed(format!("no machine for scripts: {error}")))?;
        Ok(Rc::clone(current.insert(Rc::new(made))))
    })
}

/// What became of a call, in words. A machine that is too full is thrown away.
fn settle<R>(machine: &Machine, script: &Script, called: mlua::Result<R>) -> Result<R, ScriptError> {
    let error = match called {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let told = explain(script, &error);
    let full = told == ScriptError::Memory || {
        machine.lua.used_memory() > MEMORY / 2 && {
            // A failure here means that there is no room for it, which is the same.
            machine.lua.gc_collect().is_err() || machine.lua.used_memory() > MEMORY / 2
        }
    };
    if full {
        MACHINE.with_borrow_mut(|current| *current = None);
    }
    Err(told)
}

/// An error of the machine's as its user reads it: name, line, reason.
fn explain(script: &Script, error: &Error) -> ScriptError {
    let text = error.to_string();
    let mut innermost = error;
    while let Error::CallbackError { cause, .. } = innermost {
        innermost = cause;
    }
    if let Error::MemoryError(_) = innermost {
        return ScriptError::Memory;
    }
    if let Error::RuntimeError(message) = innermost
        && message.contains("not enough memory")
    {
        return ScriptError::Memory;
    }
    let line =
        || line_of(&script.name, &text).map(|line| format!("{}:{line}: ", script.name)).unwrap_or_default();
    if text.contains(STOPPED) {
        return ScriptError::TimedOut(line());
    }
    let message = match innermost {
        Error::RuntimeError(message) | Error::SyntaxError { message, .. } => message.clone(),
        other => other.to_string(),
    };
    let message = message.lines().next().unwrap_or_default();
    let message = message.strip_prefix("runtime error: ").unwrap_or(message);
    if let Some(kind) = message.strip_prefix(NO_FUNCTION) {
        return ScriptError::NoFunction(kind.to_owned());
    }
    if message.starts_with(&format!("{}:", script.name)) {
        return ScriptError::Failed(message.to_owned());
    }
    // Of places inside the surface its user knows nothing.
    let bare = ["base:", "ngx:", "core:"].iter().find_map(|name| {
        let (line, rest) = message.strip_prefix(name)?.split_once(": ")?;
        line.bytes().all(|byte| byte.is_ascii_digit()).then_some(rest)
    });
    ScriptError::Failed(format!("{}{}", line(), bare.unwrap_or(message)))
}

/// The first line of the script that a trace names.
fn line_of(name: &str, text: &str) -> Option<u32> {
    text.match_indices(name).find_map(|(at, _)| {
        let rest = text.get(at + name.len()..)?.trim_start_matches(['"', ']']).strip_prefix(':')?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest.get(..digits)?.parse().ok()
    })
}

/// What a source is refused with that makes something else than a function.
const NO_FUNCTION: &str = "no function but ";

impl Machine {
    fn new() -> mlua::Result<Self> {
        let libraries = StdLib::TABLE
            | StdLib::STRING
            | StdLib::MATH
            | StdLib::BIT
            | StdLib::UTF8
            | StdLib::COROUTINE
            | StdLib::OS
            | StdLib::BUFFER;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        lua.set_memory_limit(MEMORY)?;
        let kit = lua.create_table()?;
        kit.set("native", native::table(&lua)?)?;
        for (name, source) in PRELUDE {
            let compiler = Compiler::new().set_optimization_level(1).set_debug_level(1);
            let chunk = lua.load(source).set_name(format!("={name}")).set_compiler(compiler);
            chunk.call::<()>(kit.clone())?;
        }
        lua.sandbox(true)?;
        let deadline = Rc::new(Cell::new(None::<Instant>));
        let watched = Rc::clone(&deadline);
        lua.set_interrupt(move |_| match watched.get() {
            Some(end) if Instant::now() >= end => Err(Error::runtime(STOPPED)),
            _ => Ok(VmState::Continue),
        });
        Ok(Self {
            run: kit.get("run")?,
            environment: kit.get("environment")?,
            context: kit.get("context")?,
            vars: kit.get("vars")?,
            options: kit.get("options")?,
            lua,
            deadline,
            loaded: RefCell::default(),
        })
    }

    fn bounded<R>(&self, work: impl FnOnce() -> mlua::Result<R>) -> mlua::Result<R> {
        self.deadline.set(Some(Instant::now() + TIME));
        let done = work();
        self.deadline.set(None);
        done
    }

    fn call<R: FromLuaMulti>(&self, script: &Script, with: With<'_>, host: &mut dyn Host) -> mlua::Result<R> {
        self.bounded(|| {
            let Loaded { function, conf, .. } = self.load(script)?;
            match with {
                With::Condition => self.enter(host, (function, self.vars.clone(), self.options.clone())),
                With::Context(context) => self.enter(host, (function, conf, context.clone())),
                With::Exit(given) => {
                    let mut given = given.to_lua(&self.lua)?;
                    let status = given.pop_front();
                    self.enter(host, (function, status, given))
                }
                With::Data(data, body) => {
                    let data = native::json::to_lua(&self.lua, data)?;
                    let body = body.map(|body| self.lua.create_string(body)).transpose()?;
                    self.enter(host, (function, data, (self.vars.clone(), body)))
                }
            }
        })
    }

    fn enter<R: FromLuaMulti>(
        &self,
        host: &mut dyn Host,
        (function, first, rest): (Function, impl mlua::IntoLua, impl IntoLuaMulti),
    ) -> mlua::Result<R> {
        self.lua.scope(|scope| {
            let answers =
                scope.create_function_mut(|lua: &Lua, (what, rest): (mlua::LuaString, MultiValue)| {
                    let what = what.to_str()?;
                    host.call(lua, &what, rest)
                })?;
            let mut arguments = rest.into_lua_multi(&self.lua)?;
            arguments.push_front(first.into_lua(&self.lua)?);
            arguments.push_front(Value::Function(function));
            arguments.push_front(Value::Function(answers));
            self.run.call::<R>(arguments)
        })
    }

    fn load(&self, script: &Script) -> mlua::Result<Loaded> {
        if let Some(found) = self.loaded.borrow().get(&script.number) {
            return Ok(found.clone());
        }
        let environment: Table = self.environment.call(())?;
        let chunk = self.lua.load(&*script.code).set_mode(ChunkMode::Binary);
        let chunk = chunk.set_name(format!("={}", script.name)).set_environment(environment);
        let function = match chunk.call::<Value>(())? {
            Value::Function(function) => function,
            // Whole numbers are no kind of their own in Lua 5.1.
            Value::Integer(_) => return Err(Error::runtime(format!("{NO_FUNCTION}number"))),
            other => return Err(Error::runtime(format!("{NO_FUNCTION}{}", other.type_name()))),
        };
        let conf = native::json::to_lua(&self.lua, &script.conf)?;
        let made = Loaded { alive: Arc::downgrade(&script.alive), function, conf };
        let mut loaded = self.loaded.borrow_mut();
        if loaded.len() >= SWEEP && loaded.len() == loaded.capacity() {
            loaded.retain(|_, one| one.alive.strong_count() > 0);
        }
        loaded.insert(script.number, made.clone());
        Ok(made)
    }
}
