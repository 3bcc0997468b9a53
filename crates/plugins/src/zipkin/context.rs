//! The trace that a request belongs to, as B3 headers carry it: one header, or several.

use usher_http1::head::Head;

/// The trace of a request, in its place.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) trace: String,
    /// Who called.
    pub(super) parent: Option<String>,
    /// The request itself.
    pub(super) span: String,
    /// Its time at the upstream.
    pub(super) below: String,
    pub(super) sampled: bool,
    /// Whoever began the trace wants it sampled everywhere, whatever a service on the way thinks.
    debug: bool,
}

/// What came with a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Came {
    trace: Option<String>,
    span: Option<String>,
    sampled: Option<bool>,
    debug: bool,
}

/// 16 random hexadecimal digits that are not all zero.
fn id() -> String {
    format!("{:016x}", fastrand::u64(1..))
}

impl Context {
    /// What came with a request.
    ///
    /// # Errors
    /// What can't be a trace.
    pub(super) fn read(head: &Head) -> Result<Came, &'static str> {
        let came = match head.get("b3") {
            Some(value) => single(std::str::from_utf8(value).map_err(|_| "b3 is no text")?)?,
            None => several(head)?,
        };
        if came.trace.is_some() != came.span.is_some() {
            return Err("a trace without a span, or a span without a trace");
        }
        Ok(came)
    }

    /// Says it to the upstream.
    pub(super) fn write(&self, head: &mut Head) {
        head.remove("b3");
        head.remove("x-b3-flags");
        for (name, value) in [
            ("x-b3-traceid", self.trace.as_str()),
            ("x-b3-spanid", &self.below),
            ("x-b3-parentspanid", &self.span),
            ("x-b3-sampled", if self.sampled { "1" } else { "0" }),
        ] {
            if let Err(error) = head.set(name, value) {
                tracing::debug!(%error, "left out a field of a trace");
            }
        }
        if self.debug
            && let Err(error) = head.set("x-b3-flags", "1")
        {
            tracing::debug!(%error, "left out a field of a trace");
        }
    }
}

impl Came {
    /// Goes on with the trace that came, or begins one.
    pub(super) fn enter(self, sample: impl FnOnce() -> bool) -> Context {
        Context {
            trace: self.trace.unwrap_or_else(|| format!("{}{}", id(), id())),
            parent: self.span,
            span: id(),
            below: id(),
            sampled: self.sampled.unwrap_or_else(sample),
            debug: self.debug,
        }
    }
}

fn single(text: &str) -> Result<Came, &'static str> {
    let mut parts = text.trim().split('-');
    let first = parts.next().unwrap_or_default();
    let Some(span) = parts.next() else {
        return Ok(Came { sampled: Some(sampled(first)?), debug: first == "d", ..Came::default() });
    };
    let trace = Some(hex(first, &[16, 32])?);
    let span = Some(hex(span, &[16])?);
    let said = parts.next();
    let debug = said == Some("d");
    let sampled = said.map(sampled).transpose()?;
    if let Some(parent) = parts.next() {
        hex(parent, &[16])?;
    }
    if parts.next().is_some() {
        return Err("b3 has too many parts");
    }
    Ok(Came { trace, span, sampled, debug })
}

fn several(head: &Head) -> Result<Came, &'static str> {
    let text =
        |name: &str| head.get(name).map(|value| std::str::from_utf8(value).map(str::trim).unwrap_or("?"));
    let trace = text("x-b3-traceid").map(|text| hex(text, &[16, 32])).transpose()?;
    let span = text("x-b3-spanid").map(|text| hex(text, &[16])).transpose()?;
    if let Some(parent) = text("x-b3-parentspanid") {
        hex(parent, &[16])?;
    }
    let debug = text("x-b3-flags") == Some("1");
    let said = text("x-b3-sampled").map(sampled).transpose()?;
    Ok(Came { trace, span, sampled: if debug { Some(true) } else { said }, debug })
}

fn sampled(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "d" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("whether it is sampled is neither 0 nor 1"),
    }
}

fn hex(text: &str, lengths: &[usize]) -> Result<String, &'static str> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && lengths.contains(&text.len()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("an id is no hexadecimal number of its length")
    }
}
