//! How many files, and so connections, the process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// As many as are counted on where there is no limit.
const ENOUGH: u64 = 1 << 20;

/// Raises the limit of open files as far as the process itself may, and says what it is then. Shells start programs with a low one for the sake of
/// old programs that use `select`; we are none.
pub(super) fn raise_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let low = limit.current;
    limit.current = Some(limit.maximum.unwrap_or(ENOUGH).min(ENOUGH));
    if low.is_none_or(|low| Some(low) >= limit.current) {
        return low.unwrap_or(ENOUGH);
    }
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current.unwrap_or(ENOUGH),
        Err(error) => {
            tracing::debug!(%error, "the limit of open files could not be raised");
            low.unwrap_or(ENOUGH)
        }
    }
}
