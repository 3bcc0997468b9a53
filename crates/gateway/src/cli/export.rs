//! `usher export`, `backup` and `restore`: what leaves an Usher, and how it comes back.

use std::fs;
use std::io::{IsTerminal as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use usher_store::archive::{self, ArchiveError, ArchiveInfo};

use super::failure::{Code, Failure};
use super::output::clean_lines;
use super::remote::Remote;
use super::restore;
use crate::terminal::{note, put, say};

/// Options of `usher export`.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Write to this file instead of standard output; readable by its owner alone
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write secrets themselves instead of masks: for admins, and the audit tells of it
    #[arg(long)]
    reveal_secrets: bool,
    /// Whose form
    #[arg(long, value_enum, default_value_t = Form::Usher)]
    format: Form,
    /// Only these kinds; may repeat
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Only objects with this label: a name, or name=value; may repeat
    #[arg(long = "label", value_name = "NAME[=VALUE]")]
    labels: Vec<String>,
    #[command(flatten)]
    remote: Remote,
}

/// The form of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Usher's own YAML
    Usher,
    /// APISIX's standalone file
    Apisix,
}

/// Options of `usher backup`.
#[derive(Args, Debug)]
pub(crate) struct Backup {
    /// The file to write; `-` for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Options of `usher restore`.
#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// What `usher backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The data folder to make the store in; it must not hold one
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Check the file, and make nothing
    #[arg(long)]
    dry_run: bool,
}

impl Export {
    /// Reads and writes.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        let format = if self.format == Form::Apisix { "apisix" } else { "usher" };
        let mut query = vec![("format", format.to_owned())];
        if self.reveal_secrets {
            query.push(("secrets", "reveal".to_owned()));
        }
        if !self.kinds.is_empty() {
            query.push(("kinds", self.kinds.join(",")));
        }
        if !self.labels.is_empty() {
            query.push(("label", self.labels.join(",")));
        }
        let text = client.bytes(&["export"], &query).await?;
        match &self.output {
            // A file gets the very text; a terminal gets nothing that it would act upon.
            None if std::io::stdout().is_terminal() => say(&clean_lines(&String::from_utf8_lossy(&text))),
            None => put(&text),
            Some(path) => write_whole(path, &text),
        }
    }
}

impl Backup {
    /// Reads and writes, piece by piece.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        if self.file == Path::new("-") {
            return client.pieces(&["backup"], put).await;
        }
        let name = self.file.display().to_string();
        if !self.force && self.file.exists() {
            let what = format!("{name} is there already, and was left as it is");
            let next = "name another file, or add --force to write over it";
            return Err(Failure::new(Code::Conflict, what).next(next).into());
        }
        let mut beside = Beside::open(&self.file)?;
        client.pieces(&["backup"], |piece| Ok(beside.write(piece)?)).await?;
        // What is cut off on the way must not pass for a backup.
        let info = archive::check(beside.again()?).map_err(|error| broken(error, "the answer"))?;
        beside.keep()?;
        say(&format!("{name} holds {}", told(&info)))?;
        note("its secrets are sealed: keep keyring.key of the data folder too, but at another place");
        Ok(())
    }
}

impl Restore {
    /// Reads and makes a store.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let name = self.file.display().to_string();
        let open = || {
            fs::File::open(&self.file).map_err(|error| {
                Failure::new(Code::Usage, format!("could not read {name}: {error}"))
                    .next("give the right path")
            })
        };
        // All of it is looked at before anything is made.
        let info = archive::check(open()?).map_err(|error| broken(error, &name))?;
        if self.dry_run {
            return say(&format!("{name} is whole and holds {}; nothing was made", told(&info)));
        }
        let info = restore::into(&self.data, |folder| {
            archive::restore(folder, open()?).map_err(|error| broken(error, &name))
        })?;
        say(&format!("{} holds {}", self.data.display(), told(&info)))?;
        if !self.data.join("keyring.key").exists() {
            note(&format!(
                "put the keyring.key that belongs to this backup into {}: without it, its secrets can't be opened",
                self.data.display()
            ));
        }
        Ok(())
    }
}

fn told(info: &ArchiveInfo) -> String {
    format!(
        "{} entries of revision {}, {} KiB, from a store of kind {}",
        info.entries,
        info.revision,
        info.bytes >> 10,
        info.store
    )
}

fn broken(error: ArchiveError, name: &str) -> Failure {
    let next = "take another backup";
    match error {
        ArchiveError::Taken { .. } => Failure::new(Code::Conflict, error.to_string()).see("restore"),
        ArchiveError::Damaged { .. } | ArchiveError::Version { .. } => {
            Failure::new(Code::Refused, error.to_string()).at(name).next(next).see("restore")
        }
        other => {
            let cause =
                std::error::Error::source(&other).map(|source| format!(": {source}")).unwrap_or_default();
            Failure::new(Code::Failed, format!("{other}{cause}")).at(name)
        }
    }
}

/// Writes a file whole or not at all, for its owner alone: what it holds may be secret.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut beside = Beside::open(path)?;
    beside.write(bytes)?;
    Ok(beside.keep()?)
}

/// A file on its way: written beside its place, and put there once it is whole. What isn't kept is gone.
struct Beside {
    path: PathBuf,
    beside: PathBuf,
    file: fs::File,
    kept: bool,
}

impl Beside {
    fn open(path: &Path) -> Result<Self, Failure> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut how = fs::OpenOptions::new();
        how.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = how.open(&beside).map_err(|error| unwritable(path, &error))?;
        Ok(Self { path: path.to_owned(), beside, file, kept: false })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| unwritable(&self.path, &error))
    }

    /// What was written, from its beginning.
    fn again(&mut self) -> Result<&fs::File, Failure> {
        self.file.rewind().map_err(|error| unwritable(&self.path, &error))?;
        Ok(&self.file)
    }

    fn keep(mut self) -> Result<(), Failure> {
        let kept = self.file.sync_all().and_then(|()| fs::rename(&self.beside, &self.path));
        kept.map_err(|error| unwritable(&self.path, &error))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.kept {
            // What is left of it is of no use.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Failed, format!("could not write {}: {error}", path.display()))
        .next("name another file")
}
