//! Time, as `ngx` names it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mlua::{Lua, Result, Table};

pub(super) fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.set(
        "now",
        lua.create_function(|_, ()| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // Milliseconds, as nginx's own clock has them.
            Ok((since.as_secs_f64() * 1000.0).floor() / 1000.0)
        })?,
    )?;
    native.set("http_time", lua.create_function(|_, seconds: f64| Ok(http_time(seconds)))?)?;
    native.set(
        "parse_http_time",
        lua.create_function(|_, text: String| {
            let at = httpdate::parse_http_date(&text).ok();
            Ok(at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs()))
        })?,
    )
}

/// Beyond the year 9999 there is no date that HTTP could write.
const LATEST: f64 = 253_402_300_799.0;

fn http_time(seconds: f64) -> String {
    let seconds = if seconds.is_finite() { seconds.clamp(0.0, LATEST).floor() } else { 0.0 };
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs_f64(seconds))
}
