//! `cargo xtask fuzz`: every fuzz target for a while, with a nightly compiler; without one, their corpora by the ordinary tests.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};

use crate::command::{command, output, root, run as run_command, say, step};
use crate::tools;

const HELP: &str = "usage: cargo xtask fuzz [--seconds N] [--list] [TARGET...]

  Runs the fuzz targets, all of them where none is named, N seconds each (60), and says how many inputs each was given. New inputs that reach
  something new are kept in target/fuzz-corpus; one that breaks a target lies in fuzz/artifacts, and belongs into fuzz/corpus with its fix.

  It takes a nightly compiler. Where there is none, the corpora are replayed on this compiler, each input with 2000 changed ones.
";
/// What a target may need, in MiB, and how long one input may take, in seconds; beyond it is a finding.
const BOUNDS: [&str; 3] = ["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"];

/// Fuzzes.
///
/// # Errors
/// A target that is none; one that breaks; a tool that can't be installed.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    let all = targets()?;
    let (mut seconds, mut chosen) = (60_u32, Vec::new());
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--help" | "-h" | "help" => return say(HELP.trim_end()),
            "--list" => return say(&all.join("\n")),
            "--seconds" => match words.next().and_then(|count| count.parse().ok()).filter(|count| *count > 0)
            {
                Some(count) => seconds = count,
                None => bail!("--seconds needs a number from 1 on\n\n{HELP}"),
            },
            name => match all.iter().find(|target| *target == name) {
                Some(target) => chosen.push(target.clone()),
                None => bail!("{name:?} is no target; --list shows them\n\n{HELP}"),
            },
        }
    }
    if chosen.is_empty() {
        chosen = all;
    }
    let Some(nightly) = output("cargo", &["+nightly", "--version"]) else {
        say(
            "no nightly compiler is here (`rustup toolchain install nightly` brings one), so nothing is fuzzed: the corpora are replayed",
        )?;
        return crate::torture::run(&["inputs".to_owned()]);
    };
    say(&format!("with {}", nightly.trim()))?;
    tools::ensure_cargo_fuzz()?;
    step("build", || {
        run_command(&mut command("cargo", &["+nightly", "fuzz", "build", "--sanitizer", "none"]))
    })?;
    let mut sum = 0;
    for target in &chosen {
        let given = one(target, seconds)?;
        say(&format!("{target}: {given} inputs in {seconds} s, none of them breaks it"))?;
        sum += given;
    }
    say(&format!("{} targets, {sum} inputs", chosen.len()))
}

/// Runs a target, and tells how many inputs it was given.
fn one(target: &str, seconds: u32) -> anyhow::Result<u64> {
    // What is found goes into the first folder; those of the tree are only read.
    let found = root().join("target/fuzz-corpus").join(target);
    std::fs::create_dir_all(&found).with_context(|| format!("could not make {}", found.display()))?;
    let given = root().join("fuzz/corpus").join(target);
    let text = |path: &Path| path.display().to_string();
    let time = format!("-max_total_time={seconds}");
    let (found, given) = (text(&found), text(&given));
    let mut words =
        vec!["+nightly", "fuzz", "run", "--sanitizer", "none", target, &found, &given, "--", &time];
    words.extend(BOUNDS);
    let done = command("cargo", &words).stdout(Stdio::inherit()).output().context("could not start cargo")?;
    let said = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        bail!("{target} was broken:\n{said}");
    }
    let count = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    count
        .and_then(|count| count.trim().parse().ok())
        .with_context(|| format!("{target} told no count:\n{said}"))
}

/// The targets that the manifest names.
fn targets() -> anyhow::Result<Vec<String>> {
    let file = root().join("fuzz/Cargo.toml");
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
    let mut found: Vec<String> = text
        .split("[[bin]]")
        .skip(1)
        .filter_map(|one| one.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')))
        .map(str::to_owned)
        .collect();
    found.sort();
    if found.is_empty() {
        bail!("{} names no target", file.display());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::command::root;

    /// The names of what lies in a folder, without their endings.
    fn names(folder: &str) -> Vec<String> {
        let mut found: Vec<String> = std::fs::read_dir(root().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        found.sort();
        found
    }

    /// Every Rust file below this folder.
    fn sources(folder: &std::path::Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                sources(&path, text);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                *text += &std::fs::read_to_string(path).unwrap();
            }
        }
    }

    #[test]
    fn every_fuzz_target_has_its_file_its_corpus_and_a_test_that_replays_it() {
        let targets = super::targets().unwrap();
        assert!(targets.len() >= 18, "{targets:?}");
        assert_eq!(targets, names("fuzz/fuzz_targets"));
        assert_eq!(targets, names("fuzz/corpus"));
        let mut text = String::new();
        sources(&root().join("crates"), &mut text);
        for target in targets {
            let inputs = names(&format!("fuzz/corpus/{target}")).len();
            assert!(inputs >= 10, "{target} has {inputs} inputs");
            assert!(text.contains(&format!("replay(\"{target}\"")), "no test replays the corpus of {target}");
        }
    }
}
