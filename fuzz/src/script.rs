//! What must hold of any script that decides over a route: it ends, in time and memory, with a verdict or a sentence. Used by the fuzz target, and
//! by a test that replays its corpus on the stable compiler.

use std::borrow::Cow;

use usher_model::variables::Variables;
use usher_script::{Options, Script, condition};

/// Every variable is its own name.
struct Named;

impl Variables for Named {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Owned(name.as_bytes().to_vec()))
    }
}

/// Anything as the source of a condition.
///
/// # Errors
/// What doesn't hold.
pub fn filter(data: &[u8]) -> Result<(), String> {
    let Ok(source) = std::str::from_utf8(data) else { return Ok(()) };
    let script = match Script::condition("filter_func", source) {
        Ok(script) => script,
        Err(error) if error.to_string().is_empty() => return Err("it is refused without a word".to_owned()),
        Err(_) => return Ok(()),
    };
    let options = Options { host: "a.test", uri: "/a", method: "GET", remote_addr: "192.0.2.1" };
    match condition(&script, &Named, options) {
        Err(error) if error.to_string().is_empty() => Err("it fails without a word".to_owned()),
        _ => Ok(()),
    }
}
