//! The checks, in the order in which they fail fastest.

use anyhow::{Context as _, bail, ensure};

use crate::command::{command, output, root, run, say, step};
use crate::tools;

/// Every check.
///
/// # Errors
/// The first step that fails, by name.
pub(crate) fn all() -> anyhow::Result<()> {
    step("tools", tools::ensure_all)?;
    step("format", || run(&mut command("cargo", &["fmt", "--all", "--check"])))?;
    step("clippy", || {
        let words =
            ["clippy", "--release", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
        run(&mut command("cargo", &words))
    })?;
    step("fuzz targets", || {
        // They run on nightly; that they build is checked on the stable compiler, and their corpora are replayed by tests.
        let words = [
            "check",
            "--release",
            "--quiet",
            "--locked",
            "--manifest-path",
            "fuzz/Cargo.toml",
            // With the profile of the workspace, so that most of what clippy has made is not made again.
            "--target-dir",
            "target",
        ];
        run(&mut command("cargo", &words))
    })?;
    step("dependencies", dependencies)?;
    step("build", || run(&mut command("cargo", &["build", "--release", "--workspace", "--locked"])))?;
    step("demo", demo)?;
    step("tests", || {
        let words =
            ["nextest", "run", "--cargo-profile", "release", "--workspace", "--locked", "--no-fail-fast"];
        run(&mut command("cargo", &words))
    })?;
    step("documentation", || {
        let words = ["doc", "--release", "--workspace", "--no-deps", "--document-private-items", "--locked"];
        run(command("cargo", &words).env("RUSTDOCFLAGS", "--deny warnings"))
    })
}

/// Only some tests.
///
/// # Errors
/// A test fails, or none has such a name.
pub(crate) fn only(filter: &str) -> anyhow::Result<()> {
    tools::ensure_nextest()?;
    run(&mut command("cargo", &["nextest", "run", "--cargo-profile", "release", "--workspace", filter]))
}

/// Licences, sources, bans and duplicates always; known vulnerabilities where the list can be fetched.
fn dependencies() -> anyhow::Result<()> {
    // Those of other systems too, whose licences are looked at as well.
    run(&mut command("cargo", &["fetch", "--locked", "--quiet"]))?;
    run(&mut command(
        "cargo",
        &["deny", "--offline", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"],
    ))?;
    let advisories = command("cargo", &["deny", "check", "--hide-inclusion-graph", "advisories"]).output()?;
    let text = String::from_utf8_lossy(&advisories.stderr);
    if advisories.status.success() {
        return say("advisories: none apply");
    }
    if text.contains("failed to fetch advisory database") {
        return say("advisories: skipped, the list of known vulnerabilities can't be fetched from here");
    }
    bail!("advisories:\n{text}")
}

/// The main job from the release binary, end to end, on ports that are free.
fn demo() -> anyhow::Result<()> {
    let usher = root().join("target/release/usher");
    let words = [
        "60",
        usher.to_str().context("the path of the binary is not UTF-8")?,
        "demo",
        "--exit",
        "--proxy-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--chat-listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "127.0.0.1:0",
    ];
    let walked = output("timeout", &words);
    let Some(walked) = walked else {
        // Once more, with everything it says.
        run(&mut command("timeout", &words))?;
        bail!("the demo failed once and passed when it was repeated");
    };
    say(walked.trim_end())?;
    ensure!(walked.contains("429"), "the demo did not show the 11th request refused");
    Ok(())
}
