//! Consumers and credential objects: who holds which credential, and that no two hold the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};
use usher_model::kind::Kind;
use usher_model::mask::is_reference;
use usher_model::resource;
use usher_pipeline::consumer::Consumer;

use super::groups::Groups;
use super::refusal::refusing;
use super::{Moved, Tools, Workshop, shrink};
use crate::config::people::{Credential, Place};

/// Who holds what.
#[derive(Default)]
pub(super) struct Crowd {
    /// By the store's key of the holder, a consumer or a credential object.
    held: HashMap<Arc<str>, Vec<Filed>>,
    /// Holders whose credential was somebody else's when they came; tried again when credentials are given up.
    waiting: BTreeMap<Arc<str>, Moved>,
}

impl Crowd {
    /// Lets go of room that much fewer people don't need.
    pub(super) fn shrink(&mut self) {
        shrink(&mut self.held);
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.held.capacity() + self.waiting.len()
    }
}

type Filed = (Place, Arc<Credential>);

/// A consumer or credential object that was built.
#[derive(Default)]
struct Built {
    consumer: Option<Consumer>,
    /// What is wrong although it was built: requests that act for it are refused.
    flaw: Option<String>,
    credentials: Vec<(&'static str, Credential)>,
}

impl Workshop {
    /// Consumers and credential objects moved. All give up their old credentials before any takes its new ones, so that two may swap theirs.
    pub(super) fn move_people(&mut self, moved: Vec<Moved>) {
        if moved.is_empty() {
            return;
        }
        let touched: BTreeSet<_> = moved.iter().map(|moved| Arc::clone(&moved.path)).collect();
        let waiting = std::mem::take(&mut self.crowd.waiting);
        let again = waiting.into_iter().filter(|(path, _)| !touched.contains(path)).map(|(_, moved)| moved);
        let mut ready = Vec::new();
        for moved in moved.into_iter().chain(again) {
            let value = self.read(&moved);
            let groups = &self.groups;
            let built = self.tools.guard(|tools| build(tools, groups, &moved, value?.as_ref()));
            match built {
                Ok(built) => {
                    let before = self.give_up(&moved.path);
                    ready.push((moved, built, before));
                }
                Err(reason) => self.settle(&moved, Err(reason)),
            }
        }
        for (moved, mut built, before) in ready {
            let verdict = built.flaw.take().map_or(Ok(()), Err);
            match self.take(&moved, built) {
                Ok(()) => self.settle(&moved, verdict),
                Err(reason) => {
                    self.take_back(&moved.path, before);
                    self.settle(&moved, Err(reason));
                    self.crowd.waiting.insert(Arc::clone(&moved.path), moved);
                }
            }
        }
    }

    fn give_up(&mut self, holder: &Arc<str>) -> Vec<Filed> {
        let before = self.crowd.held.remove(holder).unwrap_or_default();
        before.iter().for_each(|(place, _)| self.people.unfile(*place));
        before
    }

    /// Files the credentials, then the consumer; nothing where one of the credentials is somebody else's.
    fn take(&mut self, moved: &Moved, built: Built) -> Result<(), String> {
        let mut filed: Vec<Filed> = Vec::with_capacity(built.credentials.len());
        for (plugin, credential) in built.credentials {
            let place = self.people.place(plugin, &credential.unique);
            let twice = filed.iter().any(|(known, _)| *known == place);
            let other = self.people.at(place).map(|other| other.holder.to_string());
            if let Some(other) = other.or_else(|| twice.then(|| moved.path.to_string())) {
                return Err(format!(
                    "the credential of {plugin} is already that of {other}; give it another one"
                ));
            }
            filed.push((place, Arc::new(credential)));
        }
        for (place, credential) in &filed {
            self.people.file(*place, Arc::clone(credential));
        }
        if !filed.is_empty() {
            self.crowd.held.insert(Arc::clone(&moved.path), filed);
        }
        match built.consumer {
            Some(consumer) => self.people.set_consumer(Arc::new(consumer)),
            None if moved.key.kind == Kind::Consumer => self.people.remove_consumer(&moved.key.id),
            None => {}
        }
        Ok(())
    }

    /// The last good version serves on, as far as nobody took its credentials meanwhile.
    fn take_back(&mut self, holder: &Arc<str>, before: Vec<Filed>) {
        let free: Vec<Filed> =
            before.into_iter().filter(|(place, _)| self.people.at(*place).is_none()).collect();
        for (place, credential) in &free {
            self.people.file(*place, Arc::clone(credential));
        }
        if !free.is_empty() {
            self.crowd.held.insert(Arc::clone(holder), free);
        }
    }
}

/// What becomes of a consumer or credential object; of a deleted one nothing.
fn build(tools: &Tools, groups: &Groups, moved: &Moved, value: Option<&Value>) -> Result<Built, String> {
    match (value, moved.key.kind) {
        (None, _) => Ok(Built::default()),
        (Some(value), Kind::Consumer) => build_consumer(tools, groups, moved, value),
        (Some(value), _) => build_credential(tools, moved, value),
    }
}

fn build_consumer(tools: &Tools, groups: &Groups, moved: &Moved, value: &Value) -> Result<Built, String> {
    let written = resource::Consumer::from_value(value).map_err(|error| error.to_string())?;
    let name: Arc<str> = moved.key.id.as_str().into();
    let is_auth = |plugin: &str| tools.registry.find(plugin).is_some_and(|spec| spec.is_auth());
    let (auth, plugins): (Vec<_>, Vec<_>) =
        written.plugins.into_iter().partition(|(plugin, _)| is_auth(plugin));
    let credentials = auth.iter().map(|(plugin, body)| parse(tools, moved, plugin, body, &name, None));
    let credentials = credentials.collect::<Result<_, _>>()?;
    let plugins: Map<String, Value> = plugins.into_iter().collect();
    let mut pipeline = tools.compile(moved, &plugins)?;
    let group = written.group_id.as_deref().map(|id| groups.get(id)).transpose();
    // Without what its group asks of it, a consumer is let in nowhere.
    let flaw = match group {
        Ok(group) => {
            pipeline = group.map(|group| group.under(&pipeline)).unwrap_or(pipeline);
            None
        }
        Err(reason) => {
            pipeline = refusing(503, &tools.process)?;
            Some(reason)
        }
    };
    let custom_id = written.labels.get("custom_id").and_then(Value::as_str).map(Arc::from);
    let consumer = Consumer {
        name,
        group_id: written.group_id.map(Into::into),
        custom_id,
        labels: written.labels,
        pipeline,
        plugins,
        revision: moved.now.as_ref().map_or(0, |(_, revision)| *revision),
        build: Consumer::next_build(),
    };
    Ok(Built { consumer: Some(consumer), flaw, credentials })
}

fn build_credential(tools: &Tools, moved: &Moved, value: &Value) -> Result<Built, String> {
    let written = resource::Plugins::from_value(value).map_err(|error| error.to_string())?;
    let consumer: Arc<str> = moved.key.consumer().unwrap_or_default().into();
    let id: Option<Arc<str>> = moved.key.id.rsplit_once('/').map(|(_, id)| id.into());
    let credentials =
        written.plugins.iter().map(|(plugin, body)| parse(tools, moved, plugin, body, &consumer, id.clone()));
    Ok(Built { consumer: None, flaw: None, credentials: credentials.collect::<Result<_, _>>()? })
}

fn parse(
    tools: &Tools,
    moved: &Moved,
    plugin: &str,
    body: &Value,
    consumer: &Arc<str>,
    id: Option<Arc<str>>,
) -> Result<(&'static str, Credential), String> {
    let parsed = tools.registry.credential(plugin, body).map_err(|error| error.to_string())?;
    let spec = tools.registry.find(plugin).ok_or_else(|| format!("unknown plugin [{plugin}]"))?;
    // Taken as it stands, a reference would let in whoever shows it.
    if is_reference(&parsed.unique) {
        return Err(format!(
            "the credential of {plugin} is a secret that is itself a reference to one; keep the secret itself there"
        ));
    }
    let credential = Credential {
        holder: Arc::clone(&moved.path),
        consumer: Arc::clone(consumer),
        id,
        unique: parsed.unique.into_bytes().into(),
        config: parsed.config,
    };
    Ok((spec.name, credential))
}

#[cfg(test)]
mod tests;
