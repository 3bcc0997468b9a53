//! `cargo xtask bench`: runs the comparison in `bench/`, on this machine, and prints its table.

use crate::command::{command, root, run as run_command};
use crate::tools;

/// The servers that Usher is compared with, the load generator, and what counts system calls and instructions.
const PACKAGES: &[(&str, &str)] = &[
    ("nginx-light", "nginx"),
    ("haproxy", "haproxy"),
    ("wrk", "wrk"),
    ("python3", "python3"),
    ("strace", "strace"),
    ("valgrind", "valgrind"),
];

/// Builds the release binary and runs the comparison; `words` go to the script.
///
/// # Errors
/// Something is missing, or a contender answers wrongly.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    tools::ensure_packages(PACKAGES)?;
    run_command(&mut command("cargo", &["build", "--release", "--package", "usher-gateway", "--locked"]))?;
    let script = root().join("bench/compare.py");
    run_command(command("python3", &[]).arg(script).args(words))
}
