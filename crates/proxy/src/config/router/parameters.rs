//! Paths with parameters: `:name` stands for one segment, `*name` for one or more (`radixtree_uri_with_parameter`).

use smallvec::SmallVec;

use super::path::UNNAMED;

/// The segments of a request's path; more than this take an allocation.
type Parts<'a> = SmallVec<[&'a str; 16]>;

/// A path, segment by segment.
#[derive(Debug)]
pub(super) struct Parameters(Box<[Segment]>);

#[derive(Debug)]
enum Segment {
    /// Itself.
    Text(Box<str>),
    /// Any one segment that isn't empty.
    One(Box<str>),
    /// One or more segments of any kind.
    Rest(Box<str>),
    /// The beginning of a segment, and whatever follows; only at the end.
    Open(Box<str>),
}

impl Parameters {
    pub(super) fn of(uri: &str) -> Self {
        let mut segments: Vec<Segment> = uri
            .split('/')
            .map(|segment| match segment.as_bytes().first() {
                Some(b':') => Segment::One(segment.get(1..).unwrap_or_default().into()),
                Some(b'*') if segment.len() == 1 => Segment::Rest(UNNAMED.into()),
                Some(b'*') => Segment::Rest(segment.get(1..).unwrap_or_default().into()),
                _ => Segment::Text(segment.into()),
            })
            .collect();
        if let Some(last) = segments.last_mut()
            && let Segment::Text(text) = last
            && let Some(start) = text.strip_suffix('*')
        {
            *last = Segment::Open(start.into());
        }
        Self(segments.into())
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        let parts: Parts<'_> = path.split('/').collect();
        fit(&self.0, &parts, path, &mut None)
    }

    /// Calls for every part that has a name.
    pub(super) fn each(&self, path: &str, see: &mut dyn FnMut(&str, &str)) {
        let parts: Parts<'_> = path.split('/').collect();
        let mut found = Some(Vec::new());
        if fit(&self.0, &parts, path, &mut found) {
            let mut found = found.unwrap_or_default();
            // Groups were placed from behind.
            found.sort_by_key(|(at, ..)| *at);
            for (_, name, value) in found {
                see(name, value);
            }
        }
    }
}

/// What was found: the place of the pattern's segment, its name, and what stands there.
type Found<'a> = Option<Vec<(usize, &'a str, &'a str)>>;

/// Whether the parts fit. Groups of segments between wildcards are placed as far behind as they can be, which is what a greedy pattern does. It
/// leaves the most room for those in front, so that no group is ever placed twice.
fn fit<'a>(segments: &'a [Segment], parts: &[&'a str], path: &'a str, found: &mut Found<'a>) -> bool {
    let Some(last_rest) = segments.iter().rposition(|segment| matches!(segment, Segment::Rest(_))) else {
        let open = matches!(segments.last(), Some(Segment::Open(_)));
        let counts = if open { parts.len() >= segments.len() } else { parts.len() == segments.len() };
        return counts && all_fit(segments, parts, 0, path, found);
    };
    let (before, behind) = segments.split_at(last_rest);
    let group = behind.get(1..).unwrap_or_default();
    let latest = match parts.len().checked_sub(group.len()) {
        Some(latest) => latest,
        None => return false,
    };
    // An open end takes what follows, so that its group may begin earlier than at the end.
    let earliest = if matches!(group.last(), Some(Segment::Open(_))) { 0 } else { latest };
    for start in (earliest..=latest).rev() {
        let tail = parts.get(start..).unwrap_or_default();
        let mark = found.as_ref().map_or(0, Vec::len);
        if all_fit(group, tail, last_rest + 1, path, found) {
            let front = parts.get(..start).unwrap_or_default();
            return fit_before(before, last_rest, behind.first(), front, path, found);
        }
        forget(found, mark);
    }
    false
}

fn forget(found: &mut Found<'_>, mark: usize) {
    if let Some(found) = found {
        found.truncate(mark);
    }
}

/// Whether what stands before a wildcard fits, with the wildcard taking at least one part.
fn fit_before<'a>(
    before: &'a [Segment],
    rest_at: usize,
    rest: Option<&'a Segment>,
    parts: &[&'a str],
    path: &'a str,
    found: &mut Found<'a>,
) -> bool {
    let previous = before.iter().rposition(|segment| matches!(segment, Segment::Rest(_)));
    let group_from = previous.map_or(0, |at| at + 1);
    let group = before.get(group_from..).unwrap_or_default();
    let Some(latest) = parts.len().checked_sub(group.len() + 1) else { return false };
    // What stands in front of every wildcard begins where the path does.
    let starts = if previous.is_some() { 1..=latest } else { 0..=0 };
    for start in starts.rev() {
        let mark = found.as_ref().map_or(0, Vec::len);
        let tail = parts.get(start..).unwrap_or_default();
        if !all_fit(group, tail, group_from, path, found) {
            forget(found, mark);
            continue;
        }
        let taken = tail.get(group.len()..).unwrap_or_default();
        if let (Some(found), Some(Segment::Rest(name))) = (found.as_mut(), rest) {
            found.push((rest_at, name, span(path, taken)));
        }
        let Some(at) = previous else { return true };
        let front = parts.get(..start).unwrap_or_default();
        return fit_before(before.get(..at).unwrap_or_default(), at, before.get(at), front, path, found);
    }
    false
}

/// Whether the first parts fit these segments, one each; an open end takes all that follow.
fn all_fit<'a>(
    segments: &'a [Segment],
    parts: &[&'a str],
    from: usize,
    path: &'a str,
    found: &mut Found<'a>,
) -> bool {
    for (at, segment) in segments.iter().enumerate() {
        let Some(part) = parts.get(at) else { return false };
        match segment {
            Segment::Text(text) if **text == **part => {}
            Segment::One(_) if part.is_empty() => return false,
            Segment::One(name) => {
                if let Some(found) = found {
                    found.push((from + at, name, part));
                }
            }
            Segment::Open(start) if part.starts_with(&**start) => {
                let whole = span(path, parts.get(at..).unwrap_or_default());
                if let Some(found) = found {
                    found.push((from + at, UNNAMED, whole.get(start.len()..).unwrap_or_default()));
                }
            }
            Segment::Text(_) | Segment::Open(_) | Segment::Rest(_) => return false,
        }
    }
    true
}

/// The piece of the path that these neighbouring parts are.
fn span<'a>(path: &'a str, parts: &[&'a str]) -> &'a str {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return "" };
    let place = |text: &str| (text.as_ptr() as usize).checked_sub(path.as_ptr() as usize);
    let (Some(from), Some(to)) = (place(first), place(last)) else { return "" };
    path.get(from..to + last.len()).unwrap_or_default()
}
