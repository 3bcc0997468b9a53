//! Every folder of examples/, run as its README says: a new one is tested by being there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Examples that run at the same time.
const AT_ONCE: usize = 4;

/// How long one may take, in seconds, for the program `timeout`.
const WITHIN: &str = "120";

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn examples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("examples")).unwrap();
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn every_example_does_what_it_says() {
    let examples = examples();
    assert!(examples.len() >= 12, "there are only {} examples", examples.len());
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(example) = examples.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if let Some(why) = run(example) {
                        failed.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), examples.len(), failed.join("\n"));
}

/// What went wrong.
fn run(example: &Path) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args(["--kill-after=5", WITHIN])
        .arg(example.join("run.sh"))
        .env("USHER", env!("CARGO_BIN_EXE_usher"))
        .env("TMPDIR", folder.path())
        .env_remove("KEEP")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path()).collect();
    if output.status.success() && left.is_empty() {
        return None;
    }
    Some(format!(
        "=== {} ended with {}, and left {left:?}\n{}\n{}",
        example.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

#[test]
fn every_example_is_told_of() {
    let list = std::fs::read_to_string(root().join("examples/README.md")).unwrap();
    for example in examples() {
        let name = example.file_name().unwrap().to_str().unwrap();
        let readme = std::fs::read_to_string(example.join("README.md")).unwrap();
        assert!(
            readme.contains(&format!("examples/{name}/run.sh")),
            "{name}/README.md doesn't say how to run it"
        );
        assert!(list.contains(&format!("]({name}/README.md)")), "examples/README.md doesn't name {name}");
        let config = std::fs::read_dir(&example)
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "yaml"));
        assert!(config.count() > 0, "{name} has no configuration");
    }
}
