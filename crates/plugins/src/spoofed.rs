//! Headers that a plugin vouches for under names from its configuration: a client's own copies of them go away.
//!
//! Names are compared as the most careless server would read them: without regard to case, `_` as `-`.

use usher_http1::head::Head;

/// Takes away whatever the client sent under these names.
pub(crate) fn drop_copies<'n>(head: &mut Head, names: impl Iterator<Item = &'n str> + Clone) {
    head.remove_where(|sent, _| names.clone().any(|name| reads_like(sent, name)));
}

/// Whether a server that takes underscores for hyphens would read both names as one.
fn reads_like(sent: &str, name: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    sent.len() == name.len() && sent.bytes().map(plain).eq(name.bytes().map(plain))
}
