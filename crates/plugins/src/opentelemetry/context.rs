//! The trace that a request belongs to, as W3C Trace Context carries it.

use usher_http1::head::Head;

/// The trace of a request, and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    trace: u128,
    /// Who called.
    parent: Option<u64>,
    /// The request itself.
    span: u64,
    pub(super) sampled: bool,
}

/// What came with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Came {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// What came with a request; `None` where it is none (section 3.2.2.3 of the recommendation), as if there were nothing.
pub(super) fn read(head: &Head) -> Option<Came> {
    let mut all = head.get_all("traceparent");
    let text = std::str::from_utf8(all.next()?).ok()?;
    // Whichever of two were meant, nobody knows.
    if all.next().is_some() {
        return None;
    }
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let part = parts.next().filter(|part| part.len() == length)?;
        let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then(|| u128::from_str_radix(part, 16).ok())?
    };
    let version = part(2)?;
    let (trace, span, flags) = (part(32)?, u64::try_from(part(16)?).ok()?, part(2)?);
    let ends = parts.next().is_none();
    let is_known = version != 0xff && (ends || version > 0);
    (is_known && trace != 0 && span != 0).then_some(Came { trace, span, sampled: flags & 1 == 1 })
}

impl Context {
    /// The request's own place: in the trace that came, or in a new one.
    pub(super) fn enter(
        came: Option<Came>,
        make: impl FnOnce() -> u128,
        samples: impl FnOnce(u128, Option<bool>) -> bool,
    ) -> Self {
        let trace = came.map_or_else(make, |came| came.trace);
        Self {
            trace,
            parent: came.map(|came| came.span),
            span: fastrand::u64(1..),
            sampled: samples(trace, came.map(|came| came.sampled)),
        }
    }

    /// As it stands in `traceparent`.
    pub(super) fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }

    /// The trace's id.
    pub(super) fn trace_text(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The request's id.
    pub(super) fn span_text(&self) -> String {
        format!("{:016x}", self.span)
    }

    /// The id of who called; empty where nobody did.
    pub(super) fn parent_text(&self) -> String {
        self.parent.map(|parent| format!("{parent:016x}")).unwrap_or_default()
    }

    /// Says it to the upstream. What others keep about the trace (`tracestate`) goes on only where the trace does.
    pub(super) fn write(&self, head: &mut Head) {
        if self.parent.is_none() {
            head.remove("tracestate");
        }
        if let Err(error) = head.set("traceparent", self.traceparent()) {
            tracing::debug!(%error, "left out a field of a trace");
        }
    }
}

#[cfg(test)]
mod tests {
    use usher_http1::head::Head;

    use super::read;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn only_what_the_recommendation_knows_is_a_trace() {
        let good = format!("00-{TRACE}-b7ad6b7169203331-01");
        for (text, sampled) in [
            (good.clone(), Some(true)),
            (format!("00-{TRACE}-b7ad6b7169203331-00"), Some(false)),
            (format!("cc-{TRACE}-b7ad6b7169203331-03-what-comes-later"), Some(true)),
            (format!("00-{TRACE}-b7ad6b7169203331-01-more"), None),
            (format!("ff-{TRACE}-b7ad6b7169203331-01"), None),
            (format!("00-{TRACE}-0000000000000000-01"), None),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), None),
            (format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()), None),
            (format!("00-{TRACE}-b7ad6b716920333-01"), None),
            (format!("00-{TRACE}-b7ad6b7169203331"), None),
            (format!("00-+{}-b7ad6b7169203331-01", &TRACE[1..]), None),
            (String::new(), None),
        ] {
            let mut head = Head::request("GET", "/");
            head.append("traceparent", &text).unwrap();
            assert_eq!(read(&head).map(|came| came.sampled), sampled, "{text}");
        }
        let mut twice = Head::request("GET", "/");
        twice.append("traceparent", &good).unwrap();
        twice.append("traceparent", &good).unwrap();
        assert_eq!(read(&twice), None);
    }
}
