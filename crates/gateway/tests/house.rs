//! The house rules, as tests: imports point one way, files are small and say what they are, generated texts are up to date.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each room may import, beside what `ARCHITECTURE.md` says of it. A room that isn't listed may import nothing of ours.
const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("http1", &[]),
    ("store", &["model"]),
    ("pipeline", &["http1", "model"]),
    ("script", &["http1", "model", "pipeline"]),
    ("plugins", &["http1", "model", "pipeline", "script"]),
    ("proxy", &["http1", "model", "pipeline", "script", "store"]),
    ("admin", &["model", "pipeline", "store"]),
    ("chat", &["admin", "model", "pipeline", "store"]),
    ("console", &[]),
    ("gateway", &["admin", "chat", "console", "http1", "model", "pipeline", "plugins", "proxy", "store"]),
];

/// How many files may be longer than the alarm, whatever their reasons.
const MOST_LONG: usize = 8;

/// Lines after which a file needs a reason below.
const ALARM: usize = 500;

/// Longer files, each with the reason why it stays in one piece.
const LONG: &[(&str, &str)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the project's root")
}

/// Every Rust file below these folders, with its path from the root.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("xtask"), root.join("fuzz")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(&root).expect("a path below the root").display().to_string();
                found.push((name, fs::read_to_string(&path).expect("a readable file")));
            }
        }
    }
    assert!(found.len() > 50, "the sources were not found");
    found.sort();
    found
}

#[test]
fn imports_point_one_way() {
    for (room, allowed) in IMPORTS {
        let manifest =
            fs::read_to_string(root().join("crates").join(room).join("Cargo.toml")).expect("a manifest");
        let shipped = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for line in shipped.lines() {
            let Some(rest) = line.strip_prefix("usher-") else { continue };
            let name = rest.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(
                allowed.contains(&name),
                "{room} may not import {name}; see the drawing in ARCHITECTURE.md"
            );
        }
    }
    for entry in fs::read_dir(root().join("crates")).expect("the crates").flatten() {
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        assert!(IMPORTS.iter().any(|(room, _)| *room == name), "{name} is a room without a rule");
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! "), "{name} has to begin with `//!` and one sentence");
    }
}

#[test]
fn every_room_says_what_it_is_not() {
    for (room, _) in IMPORTS {
        let source = root().join("crates").join(room).join("src");
        let first = ["lib.rs", "main.rs"].iter().find_map(|name| fs::read_to_string(source.join(name)).ok());
        let first = first.expect("a first file");
        assert!(
            first
                .lines()
                .take_while(|line| line.starts_with("//!"))
                .any(|line| line.starts_with("//! What it is not: ")),
            "the first page of {room} has to say what it is, and in a line `What it is not: ` what it leaves to others"
        );
    }
}

#[test]
fn long_files_have_a_reason() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        let excused = LONG.iter().any(|(long, _)| *long == name);
        assert!(lines <= ALARM || excused, "{name} has {lines} lines: split it, or give a reason in LONG");
        assert!(lines > ALARM || !excused, "{name} is short again: take it off LONG");
    }
    assert!(LONG.len() <= MOST_LONG, "{} files are long; split some", LONG.len());
    for (name, reason) in LONG {
        assert!(reason.len() > 20 && root().join(name).exists(), "{name} needs a reason, and to exist");
    }
}

#[test]
fn nothing_is_imported_by_glob_or_allowed_without_a_reason() {
    for (name, text) in sources() {
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let glob = line.starts_with("use ") && line.contains("::*")
                || line.starts_with("pub use ") && line.contains("::*");
            assert!(!glob, "{name} imports by glob in line {}", at + 1);
            assert!(
                !line.starts_with(concat!("#[al", "low(")),
                "{name} allows a lint in line {}; expect it with a reason",
                at + 1
            );
        }
    }
}

#[test]
fn no_text_speaks_of_one_machine() {
    let own = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/brief")];
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if !["target", ".git", "node_modules", "dist", "corpus"]
                    .iter()
                    .any(|skipped| name == *skipped)
                {
                    folders.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                for word in own {
                    assert!(!text.contains(word), "{} names {word}, a path of one machine", path.display());
                }
            }
        }
    }
}

/// The libraries of one build with their features, as `cargo tree` names them.
fn built(words: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let told = Command::new(cargo)
        .current_dir(root())
        .args(["tree", "--offline", "--locked", "--no-dedupe", "--prefix", "none", "--format", "{p} [{f}]"])
        .args(words)
        .output()
        .expect("cargo");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// A feature that only tests ask of a library builds it, and every crate above it, a second time.
#[test]
fn the_program_and_its_tests_share_one_build() {
    let program = built(&["--package", "usher-gateway", "--edges", "normal,build"]);
    let tests = built(&["--workspace", "--edges", "normal,build,dev"]);
    assert!(program.len() > 100, "cargo named {} libraries", program.len());
    let twice: Vec<_> = program.difference(&tests).filter(|line| !line.is_empty()).collect();
    assert!(twice.is_empty(), "tests ask other features of these, so they are built twice: {twice:?}");
}
