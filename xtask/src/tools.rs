//! What the checks need beyond Rust, a C and C++ compiler and make: installed where that is possible, named where it isn't.

use anyhow::{Context as _, bail};

use crate::command::{command, output, root, run, say};

/// cargo-nextest: any release of this line runs our tests; this one is installed where none is.
const NEXTEST: (&str, &str) = ("0.9.151", "0.9.");
/// cargo-deny.
const DENY: (&str, &str) = ("0.20.2", "0.20.");

/// cargo-fuzz.
const FUZZ: (&str, &str) = ("0.13.2", "0.13.");
/// cargo-deb.
const DEB: (&str, &str) = ("3.8.0", "3.");
/// mdBook.
const MDBOOK: (&str, &str) = ("0.5.4", "0.5.");

/// Debian's packages that tests use, each with a program it brings.
const PACKAGES: &[(&str, &str)] = &[
    ("curl", "curl"),
    ("etcd-server", "etcd"),
    ("slapd", "slapd"),
    ("redis-server", "redis-server"),
    ("nghttp2-client", "h2load"),
    ("pebble", "pebble"),
    ("nginx-light", "nginx"),
    ("haproxy", "haproxy"),
    ("nodejs", "node"),
    ("mosquitto", "mosquitto"),
    ("mosquitto-clients", "mosquitto_sub"),
];

/// What walks through the console, likewise.
const CONSOLE: &[(&str, &str)] = &[("nodejs", "node"), ("npm", "npm"), ("chromium", "chromium")];
/// The least version of Node that the console is built with.
const NODE: (u32, u32) = (20, 19);

/// Installs whatever is missing, after listing it.
///
/// # Errors
/// What is missing and can't be installed, with the command that would.
pub(crate) fn ensure_all() -> anyhow::Result<()> {
    ensure_packages(PACKAGES)?;
    ensure_nextest()?;
    // It runs for seconds, and takes minutes to build with optimisation.
    ensure_cargo_tool_as("cargo-deny", &["deny", "--version"], DENY, &["--debug"])?;
    ensure_conformance()?;
    ensure_console()
}

/// The protocol's own test programs for MCP, with the Node that they need. Optional, as the console's are.
fn ensure_conformance() -> anyhow::Result<()> {
    if let Err(error) = ensure_packages(&[("npm", "npm")]) {
        return say(&format!("the public suite of MCP will not be run: {error:#}"));
    }
    let mut command =
        command("npm", &["install", "--no-save", "--no-audit", "--no-fund", "--loglevel", "error"]);
    match run(command.current_dir(root().join("crates/chat/conformance"))) {
        Ok(()) => Ok(()),
        Err(error) => {
            say(&format!("the public suite of MCP will not be run: its packages can't be fetched: {error:#}"))
        }
    }
}

/// What the console's own tests need: Node, a browser, and the packages that its lock file names. They are optional, because nobody needs them to
/// build Usher: where one is missing and can't be had, the tests say that they skip the console, and so does this.
fn ensure_console() -> anyhow::Result<()> {
    if let Err(error) = ensure_packages(CONSOLE) {
        return say(&format!("the console will not be walked: {error:#}"));
    }
    let version = output("node", &["--version"]).unwrap_or_default();
    let mut parts =
        version.trim().trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    if (parts.next(), parts.next()) < (Some(NODE.0), Some(NODE.1)) {
        let wanted = format!("{}.{}", NODE.0, NODE.1);
        return say(&format!(
            "the console will not be walked: Node is {}, and {wanted} is needed",
            version.trim()
        ));
    }
    // Not `ci`, which asks for a package of Windows' that Vite only might use and that not every registry has.
    let mut command =
        command("npm", &["install", "--no-save", "--no-audit", "--no-fund", "--loglevel", "error"]);
    match run(command.current_dir(root().join("crates/console/ui"))) {
        Ok(()) => Ok(()),
        Err(error) => {
            say(&format!("the console will not be walked: its packages can't be fetched: {error:#}"))
        }
    }
}

/// Installs cargo-nextest if it is missing.
///
/// # Errors
/// It can't be installed.
pub(crate) fn ensure_nextest() -> anyhow::Result<()> {
    ensure_cargo_tool("cargo-nextest", &["nextest", "--version"], NEXTEST)
}

/// Installs cargo-fuzz if it is missing.
///
/// # Errors
/// It can't be installed.
pub(crate) fn ensure_cargo_fuzz() -> anyhow::Result<()> {
    ensure_cargo_tool("cargo-fuzz", &["fuzz", "--version"], FUZZ)
}

/// Installs cargo-deb if it is missing.
///
/// # Errors
/// It can't be installed.
pub(crate) fn ensure_cargo_deb() -> anyhow::Result<()> {
    ensure_cargo_tool("cargo-deb", &["deb", "--version"], DEB)
}

/// Installs mdBook if it is missing: without what serves and watches, which are most of its parts.
///
/// # Errors
/// It can't be installed.
pub(crate) fn ensure_mdbook() -> anyhow::Result<()> {
    let (pinned, line) = MDBOOK;
    let found = output("mdbook", &["--version"]);
    if let Some(version) = found.as_deref().map(|text| text.trim().trim_start_matches("mdbook v"))
        && version.starts_with(line)
    {
        return say(&format!("mdbook {version} is there"));
    }
    say(&format!("installing mdbook {pinned}; this takes a few minutes, once"))?;
    let name = format!("mdbook@{pinned}");
    run(&mut command(
        "cargo",
        &["install", "--locked", "--quiet", "--no-default-features", "--features", "search", &name],
    ))
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

fn ensure_cargo_tool(name: &str, version_words: &[&str], pin: (&str, &str)) -> anyhow::Result<()> {
    ensure_cargo_tool_as(name, version_words, pin, &[])
}

/// The same, with words for `cargo install`.
fn ensure_cargo_tool_as(
    name: &str,
    version_words: &[&str],
    (pinned, line): (&str, &str),
    how: &[&str],
) -> anyhow::Result<()> {
    let found = output("cargo", version_words);
    let version = found.as_deref().and_then(|text| text.split_whitespace().nth(1));
    if let Some(version) = version.filter(|version| version.starts_with(line)) {
        return say(&format!("{name} {version} is there"));
    }
    say(&format!("installing {name} {pinned}; this takes a few minutes, once"))?;
    let name = format!("{name}@{pinned}");
    let mut words = vec!["install", "--locked", "--quiet", &name];
    words.extend(how);
    run(&mut command("cargo", &words))
}
