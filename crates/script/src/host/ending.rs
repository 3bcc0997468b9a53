//! What a script's end makes of an answer: what it said, the status it set, and how it ended.

use mlua::Value;
use usher_pipeline::reply::Reply;

use crate::machine;
use crate::script::ScriptError;

/// How a script ended the phase by itself.
pub(super) enum Exit {
    /// `ngx.exit`.
    Status(i64),
    /// `ngx.redirect`.
    Redirect(String, u16),
}

/// `ngx.exit(code)`.
pub(super) fn ending(code: i64, status: Option<u16>, said: Option<Vec<u8>>) -> Option<Reply> {
    let code = match code {
        -1 => 500,
        200..=599 => u16::try_from(code).unwrap_or(500),
        // OK, DECLINED and the like: the phase is over, the request goes on, unless something was said.
        _ if said.is_none() => return None,
        _ => status.unwrap_or(200),
    };
    let status = if said.is_some() || code == 200 { status.unwrap_or(code) } else { code };
    Some(spoken(status, said))
}

/// `return code, body`.
pub(super) fn returned(
    code: &Value,
    body: &Value,
    status: Option<u16>,
    said: Option<Vec<u8>>,
) -> Result<Option<Reply>, ScriptError> {
    let code = match code {
        Value::Nil => None,
        Value::Integer(code) => u16::try_from(*code).ok(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and within the bounds of a status"
        )]
        Value::Number(code) if code.fract() == 0.0 && (200.0..=599.0).contains(code) => Some(*code as u16),
        // A function that returns its text first has no code, as in APISIX.
        other @ Value::String(_) => {
            let mut text = said.unwrap_or_default();
            text.extend(machine::body_text(other)?);
            return Ok(Some(spoken(status.unwrap_or(200), Some(text))));
        }
        _ => None,
    };
    let body = match body {
        Value::Nil => said,
        body => {
            let mut text = said.unwrap_or_default();
            text.extend(machine::body_text(body)?);
            Some(text)
        }
    };
    if code.is_none() && body.is_none() {
        return Ok(None);
    }
    let code = code.filter(|code| (200..=599).contains(code)).or(status).unwrap_or(200);
    Ok(Some(spoken(code, body)))
}

/// What was said, or the page of the status.
pub(super) fn spoken(status: u16, said: Option<Vec<u8>>) -> Reply {
    match said {
        Some(said) => Reply::text(status, "text/plain; charset=utf-8", said),
        None => Reply::new(status),
    }
}
