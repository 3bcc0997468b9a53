//! Opens the store that the settings name, with the keyring that its secrets are sealed by.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::Value;
use usher_admin::keys::{self, Placed};
use usher_model::compat::Behaviour;
use usher_model::kind::Key;
use usher_model::mask::{is_mask, is_reference};
use usher_model::seal::{APISIX_PUBLIC_KEYS, Keyring, is_sealed};
use usher_pipeline::registry::Registry;
use usher_pipeline::secrets;
use usher_store::Store;
use usher_store::apisix::{Apisix, Sealing};
use usher_store::embedded::Embedded;
use usher_store::etcd::Etcd;
use usher_store::file::File;
use usher_store::memory::Memory;

use super::read_only::ReadOnly;
use crate::cli::failure::See as _;
use crate::settings::{Role, Settings, StoreKind};

/// Opens the store. A data plane's takes no change, whatever it could do.
///
/// # Errors
/// The store, and what is wrong with it.
pub(super) async fn open(
    settings: &Settings,
    registry: &Arc<Registry>,
) -> anyhow::Result<(Arc<dyn Store>, Arc<Keyring>)> {
    let (store, keyring) = open_any(settings, registry).await?;
    let store: Arc<dyn Store> =
        if settings.role == Role::DataPlane { Arc::new(ReadOnly(store)) } else { store };
    Ok((store, keyring))
}

async fn open_any(
    settings: &Settings,
    registry: &Arc<Registry>,
) -> anyhow::Result<(Arc<dyn Store>, Arc<Keyring>)> {
    let data = &settings.data;
    if let StoreKind::Memory = settings.store {
        return Ok((Arc::new(Memory::new()), Arc::new(keys::ephemeral_keyring()?)));
    }
    if let Some(shared) = &settings.keyring_file {
        take_keyring(data, shared).see("keyring")?;
    }
    refuse_lost_keyring(data).see("keyring")?;
    let keyring = Arc::new(with_apisix(keys::load_or_create_keyring(data)?, settings)?);
    let store: Arc<dyn Store> = match &settings.store {
        StoreKind::Memory => Arc::new(Memory::new()),
        StoreKind::Embedded => {
            let store = Embedded::open(data)
                .with_context(|| format!("could not open the store in {}", data.display()))?;
            Arc::new(store)
        }
        StoreKind::File(options) => {
            let store = File::open((**options).clone()).context(
                "the file that the configuration comes from can't be used, and no copy of a good one is there",
            )?;
            Arc::new(store)
        }
        StoreKind::Etcd(options) => {
            let shown = options.endpoints.join(", ");
            let store = Etcd::open((**options).clone())
                .await
                .with_context(|| format!("could not open the etcd at {shown}"))?;
            Arc::new(store)
        }
        StoreKind::Apisix(options) => {
            let store = Apisix::open((**options).clone(), sealing(&keyring, registry))
                .await
                .with_context(|| format!("could not use the APISIX at {}", options.address))?;
            tracing::info!(
                address = %options.address,
                every = ?options.every,
                "the store is a running APISIX: a change is written object by object, not at once, and changes of others are seen at the next look"
            );
            Arc::new(store)
        }
    };
    if let Some(recovered) = store.describe().recovered {
        tracing::error!(
            damaged = %recovered.damaged.display(),
            reason = %recovered.reason,
            snapshot = ?recovered.snapshot,
            revision = recovered.revision,
            "the data file was damaged: it was moved aside, and the last good state is served"
        );
    }
    Ok((store, keyring))
}

/// An etcd may hold what an APISIX encrypted: that is read, and written the same way only where the settings ask for it. Everywhere else a text that
/// merely looks encrypted has to stay what it is, unless keys are named.
fn with_apisix(keyring: Keyring, settings: &Settings) -> anyhow::Result<Keyring> {
    let shared = matches!(settings.store, StoreKind::Etcd(_));
    let keys: Vec<Vec<u8>> = match &settings.data_keys {
        Some(keys) => keys.iter().map(|key| key.expose().as_bytes().to_vec()).collect(),
        None if shared => APISIX_PUBLIC_KEYS.iter().map(|key| key.as_bytes().to_vec()).collect(),
        None => Vec::new(),
    };
    if keys.is_empty() {
        return Ok(keyring);
    }
    let write = shared && settings.compat.has(Behaviour::ApisixEncryption);
    keyring.with_apisix(&keys, write).context("apisix.data_encryption.keyring can't be used")
}

/// How the copy of an APISIX keeps secrets: sealed with our own keyring.
fn sealing(keyring: &Arc<Keyring>, registry: &Arc<Registry>) -> Sealing {
    let (sealing, opening) = (Arc::clone(keyring), Arc::clone(keyring));
    let registry = Arc::clone(registry);
    Sealing {
        seal: Box::new(move |key: &Key, value: &mut Value| {
            let record = key.path();
            let mut good = true;
            for place in secrets::places(&registry, key, value) {
                place.path.for_each_mut(value, &mut |text| {
                    if is_sealed(text) || is_reference(text) || is_mask(text) {
                        return;
                    }
                    match sealing.seal(&record, text) {
                        Ok(sealed) => *text = sealed,
                        Err(_) => good = false,
                    }
                });
            }
            good
        }),
        open: Box::new(move |key: &Key, value: &mut Value| opening.open_all(&key.path(), value).is_ok()),
        amend: Box::new(usher_admin::service::amend),
    }
}

/// The keyring that gateways share becomes the data folder's. One that is there already stays if it holds a key that the shared one lacks.
pub(crate) fn take_keyring(data: &Path, shared: &Path) -> anyhow::Result<Placed> {
    let placed = keys::place_keyring(data, shared)?;
    if placed == Placed::Other {
        bail!(
            "{} holds a key that {} lacks, so that it stays; hand out a file with all keys, or take another data folder",
            data.join("keyring.key").display(),
            shared.display()
        );
    }
    Ok(placed)
}

/// A new keyring beside an old store could open none of its secrets, and what is sealed with it could not be read once the old one is back.
fn refuse_lost_keyring(folder: &Path) -> anyhow::Result<()> {
    let keyring = folder.join("keyring.key");
    let stores = [folder.join("usher.redb"), folder.join("apisix").join("usher.redb")];
    if stores.iter().any(|store| store.exists()) && !keyring.exists() {
        bail!(
            "{} is missing, but a store is there whose secrets only it can open; put a copy of it back, \
             or start with an empty folder (--data)",
            keyring.display()
        );
    }
    Ok(())
}
