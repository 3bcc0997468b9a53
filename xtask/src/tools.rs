//! What the checks need beyond Rust, a C and C++ compiler and make: installed where that is possible, named where it isn't.

use anyhow::{Context as _, bail};

use crate::command::{command, output, run, say};

/// cargo-nextest: any release of this line runs our tests; this one is installed where none is.
const NEXTEST: (&str, &str) = ("0.9.151", "0.9.");
/// cargo-deny.
const DENY: (&str, &str) = ("0.20.2", "0.20.");

/// Debian's packages that tests use, each with a program it brings.
const PACKAGES: &[(&str, &str)] = &[("curl", "curl"), ("etcd-server", "etcd")];

/// Installs whatever is missing, after listing it.
///
/// # Errors
/// What is missing and can't be installed, with the command that would.
pub(crate) fn ensure_all() -> anyhow::Result<()> {
    ensure_packages(PACKAGES)?;
    ensure_nextest()?;
    ensure_cargo_tool("cargo-deny", &["deny", "--version"], DENY)
}

/// Installs cargo-nextest if it is missing.
///
/// # Errors
/// It can't be installed.
pub(crate) fn ensure_nextest() -> anyhow::Result<()> {
    ensure_cargo_tool("cargo-nextest", &["nextest", "--version"], NEXTEST)
}

/// Installs Debian packages whose program is missing; services are not started.
///
/// # Errors
/// Which are missing, and how a person installs them.
pub(crate) fn ensure_packages(packages: &[(&str, &str)]) -> anyhow::Result<()> {
    let missing: Vec<&str> =
        packages.iter().filter(|(_, program)| !is_there(program)).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("missing packages: {}", missing.join(" ")))?;
    let by_hand = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if output("id", &["-u"]).as_deref().map(str::trim) != Some("0") || !is_there("apt-get") {
        bail!("these programs are needed and can't be installed without root and apt-get; run: {by_hand}");
    }
    // A package's service would listen on the machine behind our back.
    let policy = std::path::Path::new("/usr/sbin/policy-rc.d");
    let ours = !policy.exists();
    if ours {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(policy, "#!/bin/sh\nexit 101\n").context("could not keep services from starting")?;
        std::fs::set_permissions(policy, std::fs::Permissions::from_mode(0o755))?;
    }
    let mut words = vec!["install", "--yes", "--no-install-recommends"];
    words.extend(&missing);
    let quiet = |words: &[&str]| {
        let mut command = command("apt-get", words);
        command.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::process::Stdio::null());
        run(&mut command)
    };
    let installed = quiet(&["update"]).and_then(|()| quiet(&words));
    if ours {
        std::fs::remove_file(policy)?;
    }
    installed.with_context(|| format!("run it by hand: {by_hand}"))
}

fn is_there(program: &str) -> bool {
    let places = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&places).chain(["/usr/sbin".into()]).any(|place| place.join(program).is_file())
}

fn ensure_cargo_tool(name: &str, version_words: &[&str], (pinned, line): (&str, &str)) -> anyhow::Result<()> {
    let found = output("cargo", version_words);
    let version = found.as_deref().and_then(|text| text.split_whitespace().nth(1));
    if let Some(version) = version.filter(|version| version.starts_with(line)) {
        return say(&format!("{name} {version} is there"));
    }
    say(&format!("installing {name} {pinned}; this takes a few minutes, once"))?;
    run(&mut command("cargo", &["install", "--locked", "--quiet", &format!("{name}@{pinned}")]))
}
