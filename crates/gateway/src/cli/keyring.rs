//! `usher keyring`: changing the key that seals secrets, in three steps, each of which says what comes next.
//!
//! A gateway reads its keyring when it starts, and every gateway of a store needs the same one: so a new key is first added everywhere, then what
//! older keys sealed is sealed anew, and only then the older keys go.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use usher_admin::keys::{self, Placed};

use super::failure::{Code, Failure};
use super::output::number;
use super::remote::{Client, Remote};
use crate::server::stores::take_keyring;
use crate::terminal::{note, say};

/// Options of `usher keyring`.
#[derive(Args, Debug)]
pub(crate) struct Keyring {
    #[command(subcommand)]
    command: KeyringCommand,
}

#[derive(Debug, Subcommand)]
enum KeyringCommand {
    /// Before the first start: make a keyring in a data folder that has none, or put one there that all gateways of a store share
    Init {
        /// The data folder; it is made where there is none
        #[arg(long, value_name = "DIR", default_value = "usher-data")]
        data: PathBuf,
        /// Take the keyring from this file, such as another machine's or a secret of Kubernetes. A key that is there already is never lost
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// First: add a new key to the keyring of a data folder; from the next start on it seals what is written
    Rotate {
        /// The data folder
        #[arg(long, value_name = "DIR", default_value = "usher-data")]
        data: PathBuf,
        /// Check that it could be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show which keys a running Usher has, and how much older ones still hold
    Status {
        #[command(flatten)]
        remote: Remote,
    },
    /// Second: have a running Usher seal anew what older keys sealed; it can be broken off and run again
    Reseal {
        #[command(flatten)]
        remote: Remote,
    },
    /// Last: take the older keys out of the keyring of a data folder, once the running Usher says that they hold nothing
    Prune {
        /// The data folder
        #[arg(long, value_name = "DIR", default_value = "usher-data")]
        data: PathBuf,
        /// Check that it could be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

impl Keyring {
    /// Does a step.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            KeyringCommand::Init { data, from } => init(&data, from.as_deref()),
            KeyringCommand::Rotate { data, dry_run } => rotate(&data, dry_run),
            KeyringCommand::Status { remote } => status(&remote.client()?).await,
            KeyringCommand::Reseal { remote } => reseal(&remote.client()?).await,
            KeyringCommand::Prune { data, dry_run, remote } => prune(&data, dry_run, &remote.client()?).await,
        }
    }
}

fn existing(data: &Path) -> Result<PathBuf, Failure> {
    let file = data.join("keyring.key");
    if file.exists() {
        return Ok(file);
    }
    let what = format!("{} does not exist", file.display());
    Err(Failure::new(Code::NotFound, what)
        .next("name the data folder with --data; a keyring is made at the first start"))
}

fn init(data: &Path, from: Option<&Path>) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("could not make the folder {}", data.display()))?;
    let file = data.join("keyring.key");
    let Some(from) = from else {
        let there = file.exists();
        keys::load_or_create_keyring(data)?;
        let what = if there { "was there already, and is good" } else { "is new" };
        return say(&format!(
            "{} {what}; keep a copy: without it nothing sealed can be read",
            file.display()
        ));
    };
    let what = match take_keyring(data, from)? {
        Placed::Made => "is that of",
        Placed::Grown => "has the newer keys of",
        Placed::Same | Placed::Other => "is the same as",
    };
    say(&format!("{} {what} {}", file.display(), from.display()))
}

fn rotate(data: &Path, dry_run: bool) -> anyhow::Result<()> {
    let file = existing(data)?;
    if dry_run {
        keys::load_or_create_keyring(data)?;
        return say(&format!("{} is good, and can be given a new key; nothing was changed", file.display()));
    }
    let path = keys::add_keyring_key(data)?;
    say(&format!("{} has a new key; the old ones still open what they sealed", path.display()))?;
    note(
        "next: copy the file to every machine that shares the store, restart each Usher, and run usher keyring reseal",
    );
    Ok(())
}

async fn status(client: &Client) -> anyhow::Result<()> {
    let state = client.get(&["keyring"], &[]).await?;
    let ids: Vec<&str> = super::planned::texts(&state, "keys").collect();
    let older = number(&state, "older_records");
    say(&format!("keys, the newest first: {}", ids.join(", ")))?;
    if older == 0 {
        say("nothing is sealed by older ones")?;
        if ids.len() > 1 {
            note(
                "next: usher keyring prune takes the older keys out, on every machine that shares the store",
            );
        }
        return Ok(());
    }
    let some: Vec<&str> = super::planned::texts(&state, "older").collect();
    say(&format!("{older} records hold what older ones sealed, such as {}", some.join(", ")))?;
    note("next: usher keyring reseal");
    Ok(())
}

async fn reseal(client: &Client) -> anyhow::Result<()> {
    let (mut after, mut records) = (Value::Null, 0);
    loop {
        let request = if after.is_null() { json!({}) } else { json!({ "after": after }) };
        let part = client.post(&["keyring", "reseal"], &request).await?;
        records += number(&part, "records");
        after = part.get("next").cloned().unwrap_or_default();
        if after.is_null() {
            break;
        }
        note(&format!("{records} records are sealed anew, up to {}", after.as_str().unwrap_or_default()));
    }
    say(&format!("{records} records were sealed anew with the newest key"))?;
    let state = client.get(&["keyring"], &[]).await?;
    let older = number(&state, "older_records");
    if older > 0 {
        let some: Vec<&str> = super::planned::texts(&state, "older").collect();
        note(&format!(
            "{older} records are left, which end by themselves or were written meanwhile by a gateway with another keyring ({}); run it again \
             later",
            some.join(", ")
        ));
    } else if state.get("keys").and_then(Value::as_array).is_some_and(|keys| keys.len() > 1) {
        note("next: usher keyring prune takes the older keys out, on every machine that shares the store");
    } else {
        note("there is only one key: a new one is added by usher keyring rotate, and known after a restart");
    }
    Ok(())
}

async fn prune(data: &Path, dry_run: bool, client: &Client) -> anyhow::Result<()> {
    let file = existing(data)?;
    let ring = keys::load_or_create_keyring(data)?;
    let ids = ring.ids();
    let newest = ids.first().copied().unwrap_or_default();
    if ids.len() < 2 {
        return say(&format!("{} holds one key only; nothing has to be done", file.display()));
    }
    let state = client.get(&["keyring"], &[]).await?;
    if super::planned::texts(&state, "keys").next() != Some(newest) {
        return Err(Failure::new(
            Code::Conflict,
            format!("the newest key of {} is not the one that the running Usher seals with", file.display()),
        )
        .next("restart Usher with this data folder, run usher keyring reseal, and try again")
        .into());
    }
    let older = number(&state, "older_records");
    if older > 0 {
        return Err(Failure::new(
            Code::Conflict,
            format!("{older} records still need an older key, so that none may go"),
        )
        .next("run usher keyring reseal")
        .into());
    }
    let gone = ids.len() - 1;
    if dry_run {
        return say(&format!("{gone} older keys of {} can go; nothing was changed", file.display()));
    }
    keys::drop_older_keyring_keys(data)?;
    say(&format!("{} holds the newest key only; {gone} older ones are gone", file.display()))?;
    note("backups made before need the older keys: keep a copy of the former file with them");
    Ok(())
}
