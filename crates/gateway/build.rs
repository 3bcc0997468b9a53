//! Lists the pages of the manual that tell of plugins, so that the console can show them without a way to the Internet.
//!
//! The pages in `docs/plugins` are made of the plugins' own sources and committed; nothing is made or fetched here.

use std::fs;
use std::io::{Error, Write as _};
use std::path::PathBuf;

fn main() -> Result<(), Error> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let folder = root.join("../../docs/plugins").canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut pages = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if path.extension().is_some_and(|ending| ending == "md") && name != "README" {
            println!("cargo::rerun-if-changed={}", path.display());
            pages.push((name, path));
        }
    }
    pages.sort();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("pages.rs");
    let mut table = fs::File::create(out)?;
    writeln!(table, "&[")?;
    for (name, path) in &pages {
        writeln!(table, "({name:?}, include_str!({:?})),", path.display().to_string())?;
    }
    writeln!(table, "]")
}
