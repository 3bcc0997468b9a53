//! Changes of what stands beside the way of a request: certificates, secret managers, consumer groups, and what plugins know.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use usher_model::certificate::Certificate;
use usher_model::change::Risk;
use usher_model::kind::{Key, Kind};
use usher_model::reference::{self, Reference};

use super::super::ServiceError;
use super::super::escape::{plain, shortened};
use super::super::known::Mark;
use super::super::references::{id_text, managers};
use super::super::world::World;
use super::{Impact, NAMED};

/// A certificate that ends within this time is worth a look.
const SOON_SECS: i64 = 30 * 24 * 60 * 60;
/// Users of a secret manager that a plan names.
const USERS: usize = 20;
/// Names that a sentence tells.
const NAMES: usize = 6;

/// Looks at every edit of such an object, and at references to secrets in all of them.
pub(super) async fn assess(world: &mut World<'_>, impact: &mut Impact) -> Result<(), ServiceError> {
    let edited: Vec<_> = world
        .drafts
        .iter()
        .map(|draft| {
            let before = draft.before.as_ref().map(|held| std::sync::Arc::clone(&held.value));
            (draft.key.clone(), before, draft.after.clone())
        })
        .collect();
    for (key, before, after) in edited {
        match key.kind {
            Kind::Ssl => certificate(impact, &key, before.as_deref(), after.as_deref()),
            Kind::Secret if after.is_none() => manager_goes(world, impact, &key).await?,
            // Whoever says where a manager is, or what it is asked with, says who is told its token and what the gateway believes.
            Kind::Secret => impact.raise(Risk::High, format!("{key} says where secrets are looked up")),
            _ => {}
        }
        if let Some(after) = &after {
            for reference in fresh_references(before.as_deref(), after) {
                impact.raise(
                    Risk::High,
                    format!("{key} reads a secret that is kept elsewhere: {}", plain(&reference)),
                );
            }
            references(world, impact, &key, after).await?;
        }
    }
    Ok(())
}

/// References to secrets that a value has and didn't have before.
pub(in crate::service) fn fresh_references(before: Option<&Value>, after: &Value) -> Vec<String> {
    let mut known = Vec::new();
    if let Some(before) = before {
        reference::each(before, &mut |text, pointer| known.push((text.to_owned(), pointer.to_owned())));
    }
    let mut fresh = Vec::new();
    reference::each(after, &mut |text, pointer| {
        if !known.iter().any(|(was, at)| was == text && at == pointer) {
            fresh.push(text.to_owned());
        }
    });
    fresh
}

/// The names that a certificate serves: none for a client's, and none while it is switched off.
fn names(value: &Value) -> Vec<String> {
    let off = value.get("status").and_then(Value::as_f64) == Some(0.0);
    if off || value.get("type").and_then(Value::as_str) == Some("client") {
        return Vec::new();
    }
    let several = value.get("snis").and_then(Value::as_array).into_iter().flatten();
    let all = value.get("sni").into_iter().chain(several).filter_map(Value::as_str);
    all.map(str::to_ascii_lowercase).collect()
}

fn told(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES).map(|name| shortened(name, 80)).collect();
    match names.len().saturating_sub(NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn certificate(impact: &mut Impact, key: &Key, before: Option<&Value>, after: Option<&Value>) {
    let (old, new) = (before.map(names).unwrap_or_default(), after.map(names).unwrap_or_default());
    let gone: Vec<String> = old.into_iter().filter(|name| !new.contains(name)).collect();
    if !gone.is_empty() {
        let sentence = format!(
            "{key} no longer serves {}: TLS clients that ask for it lose its certificate",
            told(&gone)
        );
        impact.raise(Risk::High, sentence.clone());
        impact.warn(sentence);
    }
    let Some(after) = after else { return };
    if before.is_some_and(|before| before.get("client").is_some()) && after.get("client").is_none() {
        let sentence = format!("{key} no longer asks TLS clients for a certificate of their own");
        impact.raise(Risk::High, sentence.clone());
        impact.warn(sentence);
    } else if let Some(before) = before {
        let (old, new) = (before.pointer(SKIPPED), after.pointer(SKIPPED));
        if new.is_some() && new != old && before.get("client").is_some() {
            let sentence =
                format!("{key} lets other requests than before pass without a client's certificate");
            impact.raise(Risk::High, sentence.clone());
            impact.warn(sentence);
        }
    }
    let further = after.get("certs").and_then(Value::as_array).into_iter().flatten();
    for pem in after.get("cert").into_iter().chain(further).filter_map(Value::as_str) {
        // What is kept elsewhere is known where it is used.
        let Ok(certificate) = Certificate::read(pem) else { continue };
        ends(impact, key, &certificate);
        let strangers: Vec<String> = new.iter().filter(|name| !certificate.covers(name)).cloned().collect();
        if !strangers.is_empty() && !certificate.names.is_empty() {
            impact.warn(format!(
                "{key} has a certificate that is not for {}: clients refuse it there",
                told(&strangers)
            ));
        }
    }
}

/// Where the paths stand that need no client certificate.
const SKIPPED: &str = "/client/skip_mtls_uri_regex";

fn ends(impact: &mut Impact, key: &Key, certificate: &Certificate) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let until = &certificate.until;
    if certificate.not_after < now {
        impact.warn(format!("{key} has a certificate that expired on {until}: clients refuse it"));
    } else if certificate.not_after - now < SOON_SECS {
        impact.warn(format!("{key} has a certificate that expires soon, on {until}"));
    }
    if certificate.not_before > now {
        impact.warn(format!("{key} has a certificate that is not valid yet"));
    }
}

/// A secret manager goes although others refer to it, as in APISIX; who they are is told.
async fn manager_goes(world: &mut World<'_>, impact: &mut Impact, key: &Key) -> Result<(), ServiceError> {
    let users = world.service.look_up(|index| {
        index.holders(Mark::Uses(Kind::Secret, &key.id), USERS + 1, |user| world.draft(user).is_none())
    });
    let more = users.len() > USERS;
    for user in users.into_iter().take(USERS) {
        let refers = world
            .stored(&user)
            .await?
            .is_some_and(|held| managers(&held.value).iter().any(|(manager, _)| manager == key));
        if refers {
            impact.warn(format!("{user} takes secrets from {key} and will not find them"));
        }
    }
    if more {
        impact.warn(format!("more than {USERS} objects take secrets from {key}"));
    }
    Ok(())
}

/// References that can't be read, or that name a manager that isn't there. They are admitted, as in APISIX, and told.
async fn references(
    world: &mut World<'_>,
    impact: &mut Impact,
    key: &Key,
    value: &Value,
) -> Result<(), ServiceError> {
    let mut found = Vec::new();
    reference::each(value, &mut |text, pointer| found.push((text.to_owned(), pointer.to_owned())));
    for (text, pointer) in found {
        if is_unique(world, key, &pointer) {
            let place = plain(pointer.trim_start_matches('/')).replace('/', ".");
            impact.warn(format!(
                "{key}: {place} tells consumers apart and is kept elsewhere: whether another has the same shows once it is looked up, and the later one isn't served then"
            ));
        }
        let place = plain(pointer.trim_start_matches('/')).replace('/', ".");
        match Reference::parse(&text) {
            Some(Err(error)) => impact.warn(format!("{key}: {place}: {}", plain(&error.to_string()))),
            Some(Ok(reference)) => {
                let Some(manager) = reference.manager() else { continue };
                if key.kind == Kind::Secret {
                    impact.warn(format!("{key}: {place} refers to a secret manager; a manager's own secrets come from $env:// at most"));
                } else if world.after(manager).await?.is_none() {
                    impact.warn(format!("{key}: {place} refers to {manager}, which is not there: put it, or the secret can't be found"));
                }
            }
            None => {}
        }
    }
    Ok(())
}

/// Whether a pointer leads to the attribute by which a consumer is found.
fn is_unique(world: &World<'_>, key: &Key, pointer: &str) -> bool {
    if !matches!(key.kind, Kind::Consumer | Kind::Credential) {
        return false;
    }
    let mut steps = pointer.split('/').skip(1);
    let (Some("plugins"), Some(plugin), Some(member), None) =
        (steps.next(), steps.next(), steps.next(), steps.next())
    else {
        return false;
    };
    world.service.registry().unique_attribute(plugin) == Some(member)
}

/// Who meets an edit of such an object, besides routes.
pub(super) async fn affected(world: &mut World<'_>) -> Result<Vec<String>, ServiceError> {
    let mut lines = Vec::new();
    let edited: Vec<_> = world
        .drafts
        .iter()
        .map(|draft| {
            let values = [draft.before.as_ref().map(|held| &*held.value), draft.after.as_deref()];
            (draft.key.clone(), values.into_iter().flatten().cloned().collect::<Vec<Value>>())
        })
        .filter(|(key, _)| {
            matches!(key.kind, Kind::Ssl | Kind::StreamRoute | Kind::ConsumerGroup | Kind::PluginMetadata)
        })
        .take(NAMED)
        .collect();
    for (key, values) in edited {
        match key.kind {
            Kind::Ssl => {
                let mut all: Vec<String> = values.iter().flat_map(names).collect();
                all.sort();
                all.dedup();
                if !all.is_empty() {
                    lines.push(format!("{}: TLS clients of {}", plain(&key.to_string()), told(&all)));
                }
            }
            Kind::StreamRoute => {
                let port = values.last().and_then(|value| value.get("server_port"));
                let place = port.map_or_else(|| "any port".to_owned(), |port| format!("port {port}"));
                lines.push(format!("{}: connections to {place}", plain(&key.to_string())));
            }
            Kind::ConsumerGroup => lines.extend(members(world, &key).await?),
            _ => lines.push(format!("{}: every use of that plugin", plain(&key.to_string()))),
        }
    }
    Ok(lines)
}

/// The consumers of a group.
async fn members(world: &mut World<'_>, group: &Key) -> Result<Vec<String>, ServiceError> {
    let users = world.service.look_up(|index| {
        index.holders(Mark::Uses(group.kind, &group.id), NAMED + 1, |user| user.kind == Kind::Consumer)
    });
    let more = users.len() > NAMED;
    let mut lines = Vec::new();
    for user in users.into_iter().take(NAMED) {
        let belongs = world.after(&user).await?.is_some_and(|value| {
            value.get("group_id").and_then(id_text).as_deref() == Some(group.id.as_str())
        });
        if belongs {
            lines.push(format!("consumer {}: requests with its credentials", plain(&user.id)));
        }
    }
    lines.sort();
    if more {
        lines.push(format!("more than {NAMED} consumers of {}", plain(&group.to_string())));
    }
    Ok(lines)
}
