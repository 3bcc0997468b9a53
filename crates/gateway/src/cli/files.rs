//! Documents from files, folders and standard input, as one set of objects.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use usher_model::document::{self, Format};
use usher_model::kind::Key;

use super::failure::{Code, Failure};

/// The most bytes of one document.
const MOST_BYTES: u64 = 64 << 20;
/// The most files of one folder.
const MOST_FILES: usize = 10_000;

/// What was read.
pub(crate) struct Documents {
    /// The objects, each once.
    pub(crate) objects: Vec<(Key, Value)>,
    /// What was understood but can't be kept, with the file.
    pub(crate) warnings: Vec<String>,
}

/// Reads files; `-` is standard input, a folder stands for the YAML and JSON files in it and below. Variables such as `${{NAME}}` are filled in
/// from the environment.
///
/// # Errors
/// The first mistake, with file, line, object and field; or an object that two files hold.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Documents> {
    let mut all = Documents { objects: Vec::new(), warnings: Vec::new() };
    let mut from: HashMap<Key, String> = HashMap::new();
    for path in paths {
        for (name, text, format) in texts(path)? {
            let read =
                document::read_with(&text, format, &|name| std::env::var(name).ok()).map_err(|error| {
                    Failure::new(Code::Refused, error.to_string())
                        .at(&name)
                        .next("mend it there; nothing was changed")
                        .see("document")
                })?;
            for (key, value) in read.objects {
                if let Some(first) = from.insert(key.clone(), name.clone()) {
                    let what = format!("{key} is in {first} and in {name}");
                    return Err(Failure::new(Code::Refused, what).next("leave one of them out").into());
                }
                all.objects.push((key, value));
            }
            all.warnings.extend(read.warnings.iter().map(|warning| format!("{name}: {warning}")));
        }
    }
    Ok(all)
}

/// The text of one file, or of standard input.
///
/// # Errors
/// It can't be read, or there are several.
pub(crate) fn text(path: &Path) -> anyhow::Result<String> {
    let mut all = texts(path)?;
    match (all.pop(), all.is_empty()) {
        (Some((_, text, _)), true) => Ok(text),
        _ => {
            let what = format!("{} holds several files", path.display());
            Err(Failure::new(Code::Usage, what).next("name one of them").into())
        }
    }
}

/// Names, texts and formats behind a path.
fn texts(path: &Path) -> anyhow::Result<Vec<(String, String, Format)>> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| {
            Failure::new(Code::Refused, format!("could not read standard input: {error}"))
        })?;
        bounded("standard input", text.len() as u64)?;
        return Ok(vec![("standard input".to_owned(), text, Format::Yaml)]);
    }
    let mut files = Vec::new();
    collect(path, true, &mut files)?;
    files.sort();
    if files.is_empty() {
        let what = format!("{} holds no file that ends with .yaml, .yml or .json", path.display());
        return Err(Failure::new(Code::Usage, what).next("name a file, or a folder with some").into());
    }
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
            bounded(&file.display().to_string(), text.len() as u64)?;
            Ok((file.display().to_string(), text, Format::of(&file)))
        })
        .collect()
}

/// The files behind a path: itself, or those below it that look like documents.
fn collect(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let kind = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !kind.is_dir() {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if named || matches!(ending, "yaml" | "yml" | "json") {
            files.push(path.to_owned());
        }
        if files.len() > MOST_FILES {
            let what = format!("there are more than {MOST_FILES} files");
            return Err(Failure::new(Code::Refused, what).at(path.display().to_string()).into());
        }
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
        let entry = entry.map_err(|error| unreadable(path, &error))?;
        // A link may lead back up, and a hidden folder holds the history of a repository.
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            collect(&entry.path(), false, files)?;
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Usage, format!("could not read {}: {error}", path.display()))
        .next("give the right path")
}

fn bounded(name: &str, bytes: u64) -> anyhow::Result<()> {
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let what = format!("{name} has more than {} MiB", MOST_BYTES >> 20);
    Err(Failure::new(Code::Refused, what)
        .next("split it into several files and apply them one by one")
        .into())
}
