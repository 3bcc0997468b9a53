//! Compares secrets in a time that says nothing about them.
//!
//! Digests are compared instead of the texts, so that neither a common beginning nor the length shows in the time it takes.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

/// Whether both are the same.
pub(crate) fn alike(one: &[u8], other: &[u8]) -> bool {
    verify_slices_are_equal(digest(&SHA256, one).as_ref(), digest(&SHA256, other).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::alike;

    #[test]
    fn only_the_same_is_alike() {
        for (one, other, wanted) in
            [("", "", true), ("a", "a", true), ("a", "b", false), ("a", "ab", false), ("a", "", false)]
        {
            assert_eq!(alike(one.as_bytes(), other.as_bytes()), wanted, "{one} {other}");
        }
    }
}
