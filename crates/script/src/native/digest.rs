//! Digests, as `ngx` and the `resty` modules name them.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::hmac;
use md5::{Digest as _, Md5};
use mlua::{Lua, LuaString, Result, Table};

pub(super) fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.set(
        "md5",
        lua.create_function(|_, text: LuaString| {
            Ok(Md5::digest(&*text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        })?,
    )?;
    native.set(
        "md5_bin",
        lua.create_function(|lua, text: LuaString| lua.create_string(Md5::digest(&*text.as_bytes())))?,
    )?;
    let binary = |algorithm: &'static Algorithm| {
        lua.create_function(move |lua, text: LuaString| {
            lua.create_string(digest(algorithm, &text.as_bytes()))
        })
    };
    native.set("sha1_bin", binary(&SHA1_FOR_LEGACY_USE_ONLY)?)?;
    native.set("sha256_bin", binary(&SHA256)?)?;
    native.set(
        "hmac_sha1",
        lua.create_function(|lua, (key, text): (LuaString, LuaString)| {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key.as_bytes());
            lua.create_string(hmac::sign(&key, &text.as_bytes()))
        })?,
    )?;
    native.set("crc32", lua.create_function(|_, text: LuaString| Ok(crc32fast::hash(&text.as_bytes())))?)
}
