//! The managers that secrets are looked up from.

use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;
use usher_model::kind::Key;
use usher_model::reference::{self, Reference};
use usher_model::secret::Secret;

use super::aws::Aws;
use super::gcp::Gcp;
use super::member;
use super::vault::Vault;

/// One manager, ready to be asked.
pub(in crate::config) enum Manager {
    Vault(Vault),
    Aws(Aws),
    Gcp(Box<Gcp>),
}

impl Manager {
    /// A manager of its value. What it is reached by may stand in the environment, never in another manager.
    ///
    /// # Errors
    /// The sentence of what is wrong with it.
    pub(in crate::config) fn build(key: &Key, mut value: Value) -> Result<Self, String> {
        fill_from_environment(&mut value)?;
        match key.id.split_once('/').map(|(manager, _)| manager) {
            Some("vault") => read(value).map(Self::Vault),
            Some("aws") => read(value).map(Self::Aws),
            Some("gcp") => Gcp::build(value).map(|gcp| Self::Gcp(Box::new(gcp))),
            _ => Err("it names no manager that is known; the managers are vault, aws and gcp".to_owned()),
        }
    }

    /// Asks for a secret.
    ///
    /// # Errors
    /// Why there is no answer, or none with that secret in it. Never with a secret in the sentence.
    pub(super) async fn look_up(
        &self,
        path: &str,
        key: Option<&str>,
        own: &[SocketAddr],
    ) -> Result<Secret<String>, String> {
        match self {
            Self::Vault(vault) => vault.look_up(path, key.unwrap_or_default(), own).await,
            Self::Aws(aws) => aws.look_up(path, key, own).await,
            Self::Gcp(gcp) => gcp.look_up(path, key.unwrap_or_default(), own).await,
        }
    }
}

/// A manager's members by their types.
pub(super) fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, String> {
    // The words of a wrong type would quote the value.
    T::deserialize(value).map_err(|error| {
        let words = error.to_string();
        if words.starts_with("missing field") { words } else { "a member has a wrong type".to_owned() }
    })
}

fn fill_from_environment(value: &mut Value) -> Result<(), String> {
    let mut found = Vec::new();
    reference::each(value, &mut |text, pointer| found.push((pointer.to_owned(), text.to_owned())));
    for (pointer, text) in found {
        let Some(reference) = Reference::parse(&text) else { continue };
        let secret = match reference.map_err(|error| error.to_string())? {
            Reference::Environment { name, key } => member::of_environment(&name, key.as_deref())?,
            Reference::Managed { .. } => {
                return Err("a secret manager can't be reached by a secret of a secret manager; use $env:// or the text itself".to_owned());
            }
        };
        if let Some(place) = value.pointer_mut(&pointer) {
            *place = Value::String(secret.expose().clone());
        }
    }
    Ok(())
}
