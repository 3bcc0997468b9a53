//! Which routes lean on which services and plugin configs, from the side of what is leant on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use usher_model::kind::Key;

/// The references of all routes, backwards.
#[derive(Debug, Default)]
pub(super) struct Leaning(HashMap<Key, BTreeSet<Arc<str>>>);

impl Leaning {
    /// A route leans on these from now on, and no longer on `before`.
    pub(super) fn settle(&mut self, route: &Arc<str>, before: &[Key], now: &[Key]) {
        for key in before.iter().filter(|key| !now.contains(key)) {
            if let Some(routes) = self.0.get_mut(key) {
                routes.remove(route);
                if routes.is_empty() {
                    self.0.remove(key);
                }
            }
        }
        for key in now {
            self.0.entry(key.clone()).or_default().insert(Arc::clone(route));
        }
    }

    /// The routes that lean on an object.
    pub(super) fn on(&self, key: &Key) -> impl Iterator<Item = Arc<str>> {
        self.0.get(key).into_iter().flatten().cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use usher_model::kind::{Key, Kind};

    use super::Leaning;

    #[test]
    fn references_follow_the_routes() {
        let mut leaning = Leaning::default();
        let (one, two): (Arc<str>, Arc<str>) = ("1".into(), "2".into());
        let service = [Key::new(Kind::Service, "s")];
        let plugins = [Key::new(Kind::PluginConfig, "s")];
        let both = [service.as_slice(), &plugins].concat();
        let on = |leaning: &Leaning, key: &[Key]| leaning.on(&key[0]).collect::<Vec<_>>().join(" ");
        leaning.settle(&one, &[], &both);
        leaning.settle(&two, &[], &service);
        assert_eq!(on(&leaning, &service), "1 2");
        leaning.settle(&one, &both, &plugins);
        assert_eq!((on(&leaning, &service), on(&leaning, &plugins)), ("2".to_owned(), "1".to_owned()));
        leaning.settle(&one, &plugins, &[]);
        leaning.settle(&two, &service, &[]);
        assert!(leaning.0.is_empty());
    }
}
