//! `usher chat-package`: the files that a chat program takes to reach this gateway: a plugin, an extension, settings, a link.

use std::path::PathBuf;

use clap::Args;
use usher_chat::package::{Options, Target, package};

use super::failure::{Code, Failure};
use crate::terminal::say;

/// Options of `usher chat-package`.
#[derive(Args, Debug)]
pub(crate) struct Package {
    /// Who it is for: openai, claude, cursor, vscode, gemini, mcp-registry, plugin-2023, actions
    #[arg(long = "for", value_name = "CLIENT", value_parser = target)]
    target: Target,
    /// Where it is written: a folder, made where it isn't there
    #[arg(long, short = 'o', value_name = "FOLDER", default_value = "usher-package")]
    output: PathBuf,
    /// Where the client reaches the chat side of the running Usher
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5000", env = "USHER_URL")]
    url: String,
    /// What the server is called in the client
    #[arg(long, value_name = "NAME", default_value = "usher")]
    name: String,
    /// The client starts `usher mcp` and speaks with it, instead of calling the address by itself
    #[arg(long)]
    stdio: bool,
    /// Write over files that are there already
    #[arg(long)]
    force: bool,
}

fn target(word: &str) -> Result<Target, String> {
    let found = Target::ALL.iter().find(|(name, _)| *name == word).map(|(_, target)| *target);
    found.ok_or_else(|| {
        let names: Vec<&str> = Target::ALL.iter().map(|(name, _)| *name).collect();
        format!("{word:?} is nobody that packages are made for; write one of {}", names.join(", "))
    })
}

impl Package {
    /// Writes the files.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let options = Options { url: self.url, name: self.name, stdio: self.stdio };
        let files = package(self.target, &options).map_err(|error| Failure::new(Code::Usage, error))?;
        let paths: Vec<PathBuf> = files.iter().map(|file| self.output.join(&file.path)).collect();
        // All or nothing: a package that is half of one and half of another is worse than none.
        if let Some(there) = paths.iter().find(|path| !self.force && path.exists()) {
            let what = format!("{} is there already", there.display());
            return Err(Failure::new(Code::Usage, what)
                .next("name another folder with -o, or say --force")
                .into());
        }
        for (file, path) in files.iter().zip(&paths) {
            let failed =
                |error| Failure::new(Code::Refused, format!("could not write {}: {error}", path.display()));
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            std::fs::write(path, &file.content).map_err(failed)?;
            say(&path.display().to_string())?;
        }
        Ok(())
    }
}
