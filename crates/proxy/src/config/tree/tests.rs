//! The tree against a sorted map, and how much of it a change copies.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq};

use super::{Node, Slot, Tree};

impl<T> Tree<T> {
    /// The addresses of all nodes.
    fn nodes(&self) -> HashSet<usize> {
        fn collect<T>(node: &Arc<Node<T>>, found: &mut HashSet<usize>) {
            found.insert(Arc::as_ptr(node).addr());
            node.children.iter().for_each(|child| collect(child, found));
        }
        let mut found = HashSet::new();
        collect(&self.root, &mut found);
        found
    }

    /// How many nodes of this tree are not in the other one: what a change between them has copied or made.
    pub(in crate::config) fn nodes_apart(&self, other: &Self) -> usize {
        self.nodes().difference(&other.nodes()).count()
    }
}

#[test]
fn the_longest_prefix_comes_first_and_the_exact_key_before_it() {
    let mut tree = Tree::default();
    for (slot, key) in [
        (Slot::Prefix, "/"),
        (Slot::Prefix, "/api/"),
        (Slot::Exact, "/api/x"),
        (Slot::Prefix, "/api/x"),
        (Slot::Exact, "/api/xy"),
        (Slot::Prefix, ""),
        (Slot::Prefix, "/apis"),
    ] {
        tree.set(slot, key.as_bytes(), (slot, key));
    }
    for (text, wanted) in [
        ("/api/x", vec!["/api/x", "/api/x", "/api/", "/", ""]),
        ("/api/xyz", vec!["/api/x", "/api/", "/", ""]),
        ("/api", vec!["/", ""]),
        ("/apis", vec!["/apis", "/", ""]),
        ("x", vec![""]),
        ("", vec![""]),
    ] {
        let found: Vec<&str> = tree.matches(text.as_bytes()).map(|(_, key)| *key).collect();
        assert_eq!(found, wanted, "{text}");
    }
    assert_eq!(tree.matches(b"/api/x").next(), Some(&(Slot::Exact, "/api/x")));
}

#[test]
fn a_change_copies_the_way_to_its_key_and_nothing_else() {
    for size in [100_u32, 10_000] {
        let mut tree = Tree::default();
        for number in 0..size {
            tree.set(Slot::Prefix, format!("/resource/{number}/").as_bytes(), number);
        }
        let before = tree.clone();
        tree.clear(Slot::Prefix, b"/resource/57/");
        assert!(tree.nodes_apart(&before) <= 8, "{size}: {} nodes copied", tree.nodes_apart(&before));
        let between = tree.clone();
        tree.set(Slot::Exact, b"/resource/57", 1);
        assert!(tree.nodes_apart(&between) <= 8, "{size}: {} nodes copied", tree.nodes_apart(&between));
        assert_eq!(before.matches(b"/resource/57/x").next(), Some(&57));
    }
}

/// Short keys over few letters, so that they split, share and swallow each other.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"ab/".as_slice()), 0..6)
}

proptest::proptest! {
    #[test]
    fn it_answers_as_a_sorted_map_does(changes in prop::collection::vec((any::<bool>(), key(), any::<bool>()), 0..60), asked in key()) {
        let mut tree = Tree::default();
        let mut exact: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let mut prefix = exact.clone();
        let mut versions = Vec::new();
        for (number, (is_prefix, key, set)) in changes.into_iter().enumerate() {
            let (slot, map) = if is_prefix { (Slot::Prefix, &mut prefix) } else { (Slot::Exact, &mut exact) };
            if set {
                tree.set(slot, &key, number);
                map.insert(key, number);
            } else {
                tree.clear(slot, &key);
                map.remove(&key);
            }
            versions.push((tree.clone(), exact.clone(), prefix.clone()));
        }
        // Every version still answers as it did when it was made.
        for (tree, exact, prefix) in &versions {
            prop_assert_eq!(tree.get(&asked), exact.get(&asked));
            let prefixes = (0..=asked.len()).rev().filter_map(|len| prefix.get(&asked[..len]));
            let wanted: Vec<&usize> = exact.get(&asked).into_iter().chain(prefixes).collect();
            prop_assert_eq!(tree.matches(&asked).collect::<Vec<_>>(), wanted);
            let mut all = Vec::new();
            tree.each(&mut |value| all.push(*value));
            all.sort_unstable();
            let mut wanted: Vec<usize> = exact.values().chain(prefix.values()).copied().collect();
            wanted.sort_unstable();
            prop_assert_eq!(all, wanted);
            prop_assert_eq!(tree.is_empty(), exact.is_empty() && prefix.is_empty());
        }
        // What was emptied takes no room: every node but the root has a value or at least two children.
        prop_assert!(tidy(&tree.root, true));
    }
}

fn tidy<T>(node: &Node<T>, root: bool) -> bool {
    (root || !node.has_no_value() || node.children.len() > 1)
        && node.children.iter().all(|child| tidy(child, false))
}
