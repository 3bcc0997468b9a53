//! The machine that the gateway runs on.

use std::sync::OnceLock;

/// Its name as the kernel knows it; empty where it can't be read.
#[must_use]
pub fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let read = std::fs::read_to_string("/proc/sys/kernel/hostname");
        read.map(|name| name.trim().to_owned()).unwrap_or_default()
    })
}
