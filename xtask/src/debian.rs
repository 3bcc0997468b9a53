//! `cargo xtask deb`: the Debian package, with what only the program itself can make: completions for shells.

use std::fs;

use anyhow::{Context as _, bail, ensure};

use crate::command::{command, output, root, run as run_command, say, step};
use crate::tools;

const HELP: &str = "usage: cargo xtask deb [--profile PROFILE] [--no-build]

  Makes the Debian package, in target/debian, of the program in target/PROFILE (dist: built as one piece, which takes a while).
  --no-build takes the program that lies there.
";
/// A shell with the file of its completions below target/package, as the package's metadata name it.
const SHELLS: [(&str, &str); 3] = [("bash", "usher.bash"), ("zsh", "_usher"), ("fish", "usher.fish")];

/// Makes it.
///
/// # Errors
/// A word that is none; the program can't be built or doesn't start; cargo-deb can't be installed or fails.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    let (mut profile, mut builds) = ("dist".to_owned(), true);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" | "help" => return say(HELP.trim_end()),
            "--no-build" => builds = false,
            "--profile" => {
                profile.clone_from(words.next().context("--profile needs a name, such as dist or release")?)
            }
            other => bail!("{other:?} is no option\n\n{HELP}"),
        }
    }
    tools::ensure_packages(&[("dpkg-dev", "dpkg-shlibdeps")])?;
    tools::ensure_cargo_deb()?;
    if builds {
        step("build", || {
            run_command(&mut command(
                "cargo",
                &["build", "--profile", &profile, "--locked", "--package", "usher-gateway"],
            ))
        })?;
    }
    let usher = root().join("target").join(&profile).join("usher");
    let program = usher.to_str().context("the path of the program is not UTF-8")?;
    let folder = root().join("target/package");
    fs::create_dir_all(&folder)?;
    for (shell, file) in SHELLS {
        let script = output(program, &["completion", shell])
            .with_context(|| format!("{program} completion {shell} failed; is the program there?"))?;
        fs::write(folder.join(file), script)?;
    }
    step("package", || {
        // Lines of backtraces stay with whoever built it: they are most of the program.
        let words =
            ["deb", "--no-build", "--strip", "--profile", &profile, "--package", "usher-gateway", "--locked"];
        run_command(&mut command("cargo", &words))
    })?;
    let made = fs::read_dir(root().join("target/debian"))?.flatten().map(|entry| entry.path());
    let newest = made
        .filter(|path| path.extension().is_some_and(|ending| ending == "deb"))
        .max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
        .context("cargo-deb left no package in target/debian")?;
    let package = newest.to_str().context("the path of the package is not UTF-8")?;
    let listed = output("dpkg-deb", &["--contents", package]).context("dpkg-deb can't read the package")?;
    for file in
        ["./usr/bin/usher", "./etc/usher/config.yaml", "usher.service", "man1/usher.1", "completions/usher"]
    {
        ensure!(listed.contains(file), "{package} lacks {file}");
    }
    say(&format!("{} files: {package}", listed.lines().count()))
}
