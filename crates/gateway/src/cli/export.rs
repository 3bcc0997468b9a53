//! `usher export`, `backup`, `restore` and `keyring`: what leaves an Usher, and how it comes back.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use usher_store::archive::{self, ArchiveError, ArchiveInfo};

use super::failure::{Code, Failure};
use super::remote::Remote;
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

/// Options of `usher keyring`.
#[derive(Args, Debug)]
pub(crate) struct Keyring {
    #[command(subcommand)]
    command: KeyringCommand,
}

#[derive(Debug, Subcommand)]
enum KeyringCommand {
    /// Add a new key to the keyring of a data folder: from the next start on it seals what is written
    Rotate {
        /// The data folder
        #[arg(long, value_name = "DIR", default_value = "usher-data")]
        data: PathBuf,
        /// Check that it could be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
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
            None => put(&text),
            Some(path) => write_whole(path, &text),
        }
    }
}

impl Backup {
    /// Reads and writes.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        let bytes = client.bytes(&["backup"], &[]).await?;
        // What is cut off on the way must not pass for a backup.
        let info = archive::read(bytes.as_slice()).map_err(|error| broken(error, "the answer"))?.info;
        if self.file == Path::new("-") {
            return put(&bytes);
        }
        write_whole(&self.file, &bytes)?;
        say(&format!("{} holds {}", self.file.display(), told(&info)))?;
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
                let missing = error.kind() == std::io::ErrorKind::NotFound;
                let code = if missing { Code::NotFound } else { Code::Failed };
                Failure::new(code, format!("could not read {name}: {error}")).next("give the right path")
            })
        };
        if self.dry_run {
            let info = archive::read(open()?).map_err(|error| broken(error, &name))?.info;
            return say(&format!("{name} is whole and holds {}; nothing was made", told(&info)));
        }
        let file = open()?;
        if !self.data.exists() {
            use std::os::unix::fs::DirBuilderExt as _;
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.data).map_err(|error| {
                Failure::new(Code::Failed, format!("could not make {}: {error}", self.data.display()))
            })?;
        }
        let info = archive::restore(&self.data, file).map_err(|error| broken(error, &name))?;
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

impl Keyring {
    /// Changes the keyring.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let KeyringCommand::Rotate { data, dry_run } = self.command;
        let file = data.join("keyring.key");
        if !file.exists() {
            let what = format!("{} does not exist", file.display());
            let next = "name the data folder with --data; a keyring is made at the first start";
            return Err(Failure::new(Code::NotFound, what).next(next).into());
        }
        if dry_run {
            usher_admin::keys::load_or_create_keyring(&data)?;
            return say(&format!(
                "{} is good, and can be given a new key; nothing was changed",
                file.display()
            ));
        }
        let path = usher_admin::keys::add_keyring_key(&data)?;
        say(&format!("{} has a new key; the old ones still open what they sealed", path.display()))?;
        note("restart Usher, and copy the file to every machine that shares the store");
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
        ArchiveError::Taken { .. } => Failure::new(Code::Conflict, error.to_string()),
        ArchiveError::Damaged { .. } | ArchiveError::Version { .. } => {
            Failure::new(Code::Refused, error.to_string()).at(name).next(next)
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
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        // What is left of it is of no use.
        let _ = fs::remove_file(&beside);
        Failure::new(Code::Failed, format!("could not write {}: {error}", path.display()))
            .next("name another file")
            .into()
    })
}
