//! `cargo xtask bench`: runs the comparisons in `bench/`, on this machine, and prints their tables.

use crate::command::{command, root, run as run_command};
use crate::tools;

/// The servers that Usher is compared with, the load generator, and what counts system calls and instructions.
const PACKAGES: &[(&str, &str)] = &[
    ("nginx-light", "nginx"),
    ("haproxy", "haproxy"),
    ("caddy", "caddy"),
    ("wrk", "wrk"),
    ("nghttp2-client", "h2load"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("strace", "strace"),
    ("valgrind", "valgrind"),
    ("etcd-server", "etcd"),
];

/// Builds the release binary and runs a script: `control ...` the one of the control plane, `http2 ...` the one of HTTP/2, gRPC and TLS, `idle ...` the one of
/// idle connections, `plugins ...` the one of what each plugin adds, anything else the one of HTTP/1 beside nginx and HAProxy. The other words go to the script.
///
/// # Errors
/// Something is missing, or a contender answers wrongly.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    tools::ensure_packages(PACKAGES)?;
    run_command(&mut command("cargo", &["build", "--release", "--package", "usher-gateway", "--locked"]))?;
    let (script, words) = match words.split_first() {
        Some((first, rest)) if first == "control" => ("bench/control.py", rest),
        Some((first, rest)) if first == "idle" => ("bench/idle.py", rest),
        Some((first, rest)) if first == "http2" => ("bench/http2.py", rest),
        Some((first, rest)) if first == "plugins" => ("bench/plugins.py", rest),
        _ => ("bench/compare.py", words),
    };
    run_command(command("python3", &[]).arg(root().join(script)).args(words))
}
