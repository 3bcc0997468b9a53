//! The manual, checked: each command in it parses, each configuration is accepted, each link leads somewhere, each page is in the book.
//!
//! It stands beside the command line, because that is what most of the manual speaks of; nothing here is shipped.

mod blocks;
mod commands;
mod help;
mod links;
mod man;

use std::path::{Path, PathBuf};

/// Where generated texts are written anew instead of compared.
const UPDATE: &str = "UPDATE=1 cargo nextest run --workspace -E 'test(manual)' writes it anew";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Files below a folder of the project with one of these endings, by their path from the root.
fn files_below(folder: &str, ending: &str) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|its| its == ending) {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// All pages: the book, those at the root, and those beside what they tell of.
fn pages() -> Vec<(String, String)> {
    let root = root();
    let mut pages: Vec<_> =
        ["docs", "examples", "deploy"].iter().flat_map(|folder| files_below(folder, "md")).collect();
    for entry in std::fs::read_dir(&root).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "md") {
            let name = entry.file_name().into_string().unwrap();
            pages.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(pages.len() > 30, "the manual was not found");
    pages
}

/// Compares a generated text with the one that is kept, or writes it.
fn keep(name: &str, text: &str) {
    let path = root().join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{name} is out of date: {UPDATE}");
}
