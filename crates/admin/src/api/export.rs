//! `export`: the configuration as a document that can be imported again. Secrets are masks, unless an admin asks for them, which the audit tells.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use usher_model::change::{Principal, Role};
use usher_model::document::{self, Dialect};
use usher_model::kind::{Key, Kind};

use super::answer::{Answer, Bare};
use super::endpoint::{Call, Nothing};
use super::names;
use super::objects;
use super::refusal::Refusal;
use crate::service::{Service, Stored};

/// What is exported, and how.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    /// The form of the document. Default `usher`.
    format: Form,
    /// What stands in the place of secrets. Default `masked`.
    secrets: Secrets,
    /// Only these kinds, with commas. Default all.
    kinds: Option<String>,
    /// Only objects with these labels: `name=value`, several with commas.
    label: Option<String>,
}

/// The form of a document.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// Usher's own YAML.
    #[default]
    #[serde(alias = "yaml")]
    Usher,
    /// APISIX's standalone `apisix.yaml`.
    Apisix,
}

/// What stands in the place of secrets.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Secrets {
    /// Masks, which an import into the same Usher understands; references such as `$env://NAME` stay.
    #[default]
    Masked,
    /// The secrets themselves: for admins, and the audit tells of it.
    Reveal,
}

/// `GET /export`.
pub(super) async fn read(call: Call, asked: Asked, _: Nothing) -> Result<Answer<Bare>, Refusal> {
    let kinds = match asked.kinds.as_deref() {
        None | Some("") => Kind::ALL.to_vec(),
        Some(words) => words.split(',').map(|word| names::kind(word.trim())).collect::<Result<_, _>>()?,
    };
    let labels = asked.label.unwrap_or_default();
    objects::check_labels(&labels)?;
    let keep = |stored: &Stored| kinds.contains(&stored.key.kind) && objects::has(&stored.value, &labels);
    let stored = match asked.secrets {
        Secrets::Masked => masked(&call.service, &call.who, &kinds, &keep).await?,
        Secrets::Reveal => revealed(&call, &kinds, &keep).await?,
    };
    // An empty document would pass for an export, and with --replace take everything away.
    if stored.is_empty() && !labels.is_empty() {
        return Err(Refusal::no_object(format!("no object carries the label {labels:?}"))
            .at("label")
            .next("look at the labels that there are, or leave it out"));
    }
    let found: Vec<(Key, Value)> = stored.into_iter().map(plain).collect();
    let dialect = match asked.format {
        Form::Usher => Dialect::Usher,
        Form::Apisix => Dialect::Apisix,
    };
    Ok(Answer::bare("application/yaml; charset=utf-8", document::write(&found, dialect)))
}

async fn masked(
    service: &Service,
    who: &Principal,
    kinds: &[Kind],
    keep: &impl Fn(&Stored) -> bool,
) -> Result<Vec<Stored>, Refusal> {
    let mut found = Vec::new();
    for kind in kinds {
        let mut all = service.list(who, *kind).await?;
        all.retain(keep);
        found.extend(all);
    }
    Ok(found)
}

async fn revealed(
    call: &Call,
    kinds: &[Kind],
    keep: &impl Fn(&Stored) -> bool,
) -> Result<Vec<Stored>, Refusal> {
    if call.who.role != Role::Admin {
        return Err(Refusal::forbidden("only an admin may read secrets in clear")
            .at("secrets")
            .next("leave secrets out, and masks stand in their place"));
    }
    // Only what is given out is revealed, and told of in the audit.
    let keys: Vec<Key> =
        masked(&call.service, &call.who, kinds, keep).await?.into_iter().map(|s| s.key).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = call.service.reveal(&call.who, &keys, "an export with secrets=reveal").await?;
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

/// An object without the times that the next import sets anew.
fn plain(stored: Stored) -> (Key, Value) {
    let Stored { key, mut value, .. } = stored;
    if let Some(members) = value.as_object_mut() {
        members.shift_remove("create_time");
        members.shift_remove("update_time");
    }
    (key, value)
}
