//! What the surface needs that Luau itself can't do, or not fast enough: digests, encodings, JSON, patterns, time, the log.

mod codec;
mod digest;
pub(crate) mod json;
mod pattern;
mod time;

use mlua::{Lua, LuaString, Result, Table, Value};

/// All of it, as one table.
///
/// # Errors
/// There is no room.
pub(crate) fn table(lua: &Lua) -> Result<Table> {
    let native = lua.create_table()?;
    native.set("null", Value::NULL)?;
    native.set("version", env!("CARGO_PKG_VERSION"))?;
    native.set("pid", lua.create_function(|_, ()| Ok(std::process::id()))?)?;
    native.set("worker_id", lua.create_function(|_, ()| Ok(worker()))?)?;
    native.set(
        "worker_count",
        lua.create_function(|_, ()| Ok(std::thread::available_parallelism().map_or(1, usize::from)))?,
    )?;
    native.set("hostname", lua.create_function(|_, ()| Ok(usher_pipeline::machine::name()))?)?;
    native.set(
        "freeze",
        lua.create_function(|_, table: Table| {
            // `table.freeze` refuses tables whose metatable is protected.
            table.set_readonly(true);
            Ok(table)
        })?,
    )?;
    native.set("log", lua.create_function(log)?)?;
    native
        .set("ip_version", lua.create_function(|_, ip: LuaString| Ok(ip_version(&ip.to_string_lossy())))?)?;
    codec::add(lua, &native)?;
    digest::add(lua, &native)?;
    json::add(lua, &native)?;
    pattern::add(lua, &native)?;
    time::add(lua, &native)?;
    Ok(native)
}

/// The most of one message that is logged, in bytes.
const LONGEST: usize = 4 << 10;

/// The level is nginx's: 0 to 8, from what must be seen to what nobody needs. Control characters are written as escapes, so that no script
/// writes lines of its own.
fn log(_: &Lua, (level, message): (Option<f64>, LuaString)) -> Result<()> {
    let text = message.to_string_lossy();
    let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let text = text.get(..end).unwrap_or_default();
    let message = text.escape_debug();
    match level.unwrap_or(4.0) {
        level if level <= 4.0 => tracing::error!(%message, "a script says"),
        level if level <= 5.0 => tracing::warn!(%message, "a script says"),
        level if level <= 7.0 => tracing::info!(%message, "a script says"),
        _ => tracing::debug!(%message, "a script says"),
    }
    Ok(())
}

/// The worker's number, by its thread's name.
fn worker() -> usize {
    let thread = std::thread::current();
    let digits = thread.name().and_then(|name| name.rsplit('-').next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn ip_version(ip: &str) -> u8 {
    match ip.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(std::net::IpAddr::V4(_)) => 4,
        Ok(std::net::IpAddr::V6(_)) => 6,
        Err(_) => 0,
    }
}
