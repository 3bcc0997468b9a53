//! Lists the built files of the console, so that the compiler takes them into the binary.
//!
//! The files in `dist/` are committed: whoever builds Usher needs no Node. Nothing is built or fetched here.

use std::fs;
use std::io::{Error, Write as _};
use std::path::{Path, PathBuf};

fn main() -> Result<(), Error> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("dist");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            println!("cargo::rerun-if-changed={}", path.display());
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("files.rs");
    let mut table = fs::File::create(out)?;
    writeln!(table, "&[")?;
    for path in &files {
        let name = path.strip_prefix(&root).map_err(Error::other)?;
        writeln!(table, "({:?}, include_bytes!({:?})),", slashed(name), path.display().to_string())?;
    }
    writeln!(table, "]")
}

fn slashed(path: &Path) -> String {
    let steps: Vec<_> = path.iter().map(|step| step.to_string_lossy()).collect();
    steps.join("/")
}
