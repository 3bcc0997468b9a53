//! The account at an authority: made once, and kept in the data folder beside the admin key.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use instant_acme::{Account, AccountCredentials, NewAccount};

use super::far::Far;
use crate::settings::acme::Acme;

/// The account that is kept in this folder for the settings' authority; a new one where there is none.
///
/// # Errors
/// The authority doesn't answer or refuses, or the file can't be read or written.
pub(super) async fn open(settings: &Acme, folder: &Path, http: Far) -> anyhow::Result<Account> {
    let path = file(settings, folder);
    let builder = Account::builder_with_http(Box::new(http));
    match fs::read(&path) {
        Ok(text) => {
            // The parser's own words might quote the key.
            let credentials: AccountCredentials = serde_json::from_slice(&text).map_err(|_| {
                anyhow::anyhow!("{} is no account; move it away to make a new one", path.display())
            })?;
            builder.from_credentials(credentials).await.context("the account could not be opened")
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let contact = settings.email.as_ref().map(|email| format!("mailto:{email}"));
            let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
            let wanted =
                NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
            let made = builder.create(&wanted, settings.directory.clone(), None).await;
            let (account, credentials) = made.context("the authority made no account")?;
            keep(&path, &serde_json::to_vec_pretty(&credentials)?)
                .with_context(|| format!("could not write {}", path.display()))?;
            Ok(account)
        }
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

/// One file for each authority, so that a trial with another one loses no account.
fn file(settings: &Acme, folder: &Path) -> PathBuf {
    let plain: String = settings
        .directory
        .trim_start_matches("https://")
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' })
        .collect();
    folder.join(format!("acme-{plain}.json"))
}

/// Whole or not at all, for its owner alone.
fn keep(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(beside, path)
}
