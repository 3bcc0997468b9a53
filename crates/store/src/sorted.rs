//! Entries in the order of their keys, and the pages that lists are made of.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::Entry;

/// Entries by their keys.
pub(crate) type Sorted = BTreeMap<Arc<str>, Entry>;

/// At most `limit` entries whose key begins with `prefix`, from behind `after`, in falling order where `reverse`.
pub(crate) fn page(
    entries: &Sorted,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    reverse: bool,
) -> Vec<Entry> {
    let matching = |entry: &&Entry| entry.key.starts_with(prefix);
    if reverse {
        let last = behind(prefix);
        let end = after.or(last.as_deref()).map_or(Bound::Unbounded, Bound::Excluded);
        if after.is_some_and(|after| after < prefix) {
            return Vec::new();
        }
        let range = entries.range::<str, _>((Bound::Included(prefix), end)).rev().map(|(_, entry)| entry);
        // Where the end of the prefix has no simple name, or `after` lies behind it, keys are passed over.
        range.skip_while(|entry| !matching(entry)).take_while(matching).take(limit).cloned().collect()
    } else {
        let start = after.filter(|after| *after >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
        let range = entries.range::<str, _>((start, Bound::Unbounded));
        range.map(|(_, entry)| entry).take_while(matching).take(limit).cloned().collect()
    }
}

/// The first key behind all that begin with `prefix`, where it is a prefix that ends as ours do, with a plain character.
fn behind(prefix: &str) -> Option<String> {
    let last = prefix.chars().next_back().filter(|last| *last < '\u{7f}')?;
    let mut next = prefix.strip_suffix(last)?.to_owned();
    next.push(char::from_u32(u32::from(last) + 1)?);
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::{Sorted, page};
    use crate::Entry;
    use std::sync::Arc;

    #[test]
    fn pages_hold_what_begins_with_their_prefix() {
        let names = ["/a/1", "/b", "/b/1", "/b/2", "/b/é", "/b0", "/bé/1", "/bé/2", "/c/1"];
        let entries: Sorted = names
            .iter()
            .map(|name| {
                (Arc::from(*name), Entry { key: Arc::from(*name), value: "".into(), created: 1, modified: 1 })
            })
            .collect();
        for (prefix, after, limit, reverse, wanted) in [
            ("/b/", None, 9, false, &["/b/1", "/b/2", "/b/é"][..]),
            ("/b/", None, 9, true, &["/b/é", "/b/2", "/b/1"]),
            ("/b/", Some("/b/1"), 1, false, &["/b/2"]),
            ("/b/", Some("/b/2"), 9, true, &["/b/1"]),
            ("/b/", Some("/c/1"), 1, true, &["/b/é"]),
            ("/b/", Some("/a/1"), 1, false, &["/b/1"]),
            ("/b/", Some("/a/1"), 1, true, &[]),
            ("/bé", None, 9, true, &["/bé/2", "/bé/1"]),
            ("", None, 1, true, &["/c/1"]),
            ("/x", None, 9, true, &[]),
        ] {
            let found: Vec<String> = page(&entries, prefix, after, limit, reverse)
                .iter()
                .map(|entry| entry.key.to_string())
                .collect();
            assert_eq!(found, wanted, "{prefix} {after:?} {reverse}");
        }
    }
}
