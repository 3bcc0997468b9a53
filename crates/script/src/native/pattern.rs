//! Patterns for `ngx.re`, each compiled once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use fancy_regex::Regex;
use mlua::{Error, Lua, LuaString, MultiValue, Result, Table, Value};

use crate::pattern::BadPattern;

/// Patterns that are kept.
const KEPT: usize = 256;

/// Patterns by their text and options.
type Kept = Rc<RefCell<HashMap<(Vec<u8>, Vec<u8>), Rc<Regex>>>>;

pub(super) fn add(lua: &Lua, native: &Table) -> Result<()> {
    let kept: Kept = Rc::default();
    let for_groups = Rc::clone(&kept);
    native.set(
        "re_exec",
        lua.create_function(move |lua, (subject, regex, options, from): Asked| {
            exec(lua, &*pattern(&kept, &regex, &options)?, &subject, from)
        })?,
    )?;
    native.set(
        "re_group",
        lua.create_function(
            move |_, (subject, regex, options, from, nth): (LuaString, LuaString, LuaString, usize, usize)| {
                let regex = pattern(&for_groups, &regex, &options)?;
                let subject = subject.as_bytes();
                let found = regex.captures_from_pos(&*subject, from.max(1) - 1).map_err(Error::runtime)?;
                let group = found.as_ref().and_then(|found| found.get(nth));
                Ok(group.map_or((None, None), |group| (Some(group.start() + 1), Some(group.end()))))
            },
        )?,
    )?;
    native.set("re_expand", lua.create_function(expand)?)
}

/// Subject, pattern, options, and where to begin.
type Asked = (LuaString, LuaString, LuaString, usize);

fn pattern(kept: &Kept, regex: &LuaString, options: &LuaString) -> Result<Rc<Regex>> {
    let key = (regex.as_bytes().to_vec(), options.as_bytes().to_vec());
    if let Some(found) = kept.borrow().get(&key) {
        return Ok(Rc::clone(found));
    }
    let made =
        Rc::new(compiled(&regex.to_string_lossy(), &options.to_string_lossy()).map_err(Error::runtime)?);
    let mut kept = kept.borrow_mut();
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(key, Rc::clone(&made));
    Ok(made)
}

fn compiled(regex: &str, options: &str) -> std::result::Result<Regex, String> {
    crate::pattern::pattern(regex, options).map_err(|bad| match bad {
        BadPattern::Flag(_) => format!("{bad} (flags \"{options}\")"),
        BadPattern::Pattern(error) => format!("the pattern \"{regex}\" can't be used: {error}"),
    })
}

/// The groups of the first match behind `from`, and where it begins and ends; counted from 1.
fn exec(lua: &Lua, regex: &Regex, subject: &LuaString, from: usize) -> Result<MultiValue> {
    let bytes = subject.as_bytes();
    let from = from.max(1) - 1;
    if from > bytes.len() {
        return Ok(MultiValue::new());
    }
    let found = regex.captures_from_pos(&*bytes, from).map_err(Error::runtime)?;
    let Some(found) = found else { return Ok(MultiValue::new()) };
    let groups = lua.create_table()?;
    for at in 0..found.len() {
        let text = match found.get(at) {
            Some(group) => Value::String(lua.create_string(group.as_bytes())?),
            None => Value::Boolean(false),
        };
        groups.raw_set(at, text)?;
    }
    for name in regex.capture_names().flatten() {
        if let Some(group) = found.name(name) {
            groups.raw_set(name, lua.create_string(group.as_bytes())?)?;
        }
    }
    let Some(whole) = found.get(0) else { return Ok(MultiValue::new()) };
    let place = |at: usize| Value::Number(f64::from(u32::try_from(at).unwrap_or(u32::MAX)));
    Ok(MultiValue::from_iter([Value::Table(groups), place(whole.start() + 1), place(whole.end())]))
}

/// A replacement with `$1`, `${1}`, `$0` and `$$`.
fn expand(lua: &Lua, (replacement, groups): (LuaString, Table)) -> Result<LuaString> {
    let bytes = replacement.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = &*bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        let (before, behind) = rest.split_at(at);
        out.extend_from_slice(before);
        let behind = behind.get(1..).unwrap_or_default();
        if let Some(after) = behind.strip_prefix(b"$") {
            out.push(b'$');
            rest = after;
            continue;
        }
        let inner = behind.strip_prefix(b"{");
        let digits = inner.unwrap_or(behind);
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(digits.get(..length).unwrap_or_default())
            .ok()
            .and_then(|text| text.parse().ok());
        let after = digits.get(length..).unwrap_or_default();
        let after = if inner.is_some() { after.strip_prefix(b"}") } else { Some(after) };
        let (Some(number), Some(after)) = (number, after) else {
            return Err(Error::runtime("a `$` in the replacement is no group; write `$$` for a dollar"));
        };
        if let Value::String(text) = groups.raw_get::<Value>(usize::min(number, 10_000))? {
            out.extend_from_slice(&text.as_bytes());
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    lua.create_string(out)
}
