//! A persistent radix tree: keys are bytes, a copy shares everything with its original, and a change copies only the nodes on its key's way.
//!
//! Each key has two slots: one for the key alone, one for every text that begins with it. Routes are found by both, upstreams, consumers and
//! credentials by the first. Before anything is shared, as while everything is loaded, the same calls change the nodes in place.

use std::sync::Arc;

use smallvec::SmallVec;

/// The tree.
#[derive(Debug)]
pub(super) struct Tree<T> {
    root: Arc<Node<T>>,
}

/// For which texts a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// For the key alone.
    Exact,
    /// For every text that begins with the key.
    Prefix,
}

#[derive(Clone, Debug)]
struct Node<T> {
    /// What stands between the parent and this node. Short ones lie inside the node, so that a look-up touches no further cache line.
    label: SmallVec<[u8; 22]>,
    /// The first byte of each child's label, in order.
    firsts: SmallVec<[u8; 16]>,
    children: Vec<Arc<Self>>,
    exact: Option<T>,
    prefix: Option<T>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { root: Arc::new(Node::of(&[])) }
    }
}

impl<T> Clone for Tree<T> {
    fn clone(&self) -> Self {
        Self { root: Arc::clone(&self.root) }
    }
}

impl<T> Tree<T> {
    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.root.has_no_value() && self.root.children.is_empty()
    }

    /// What stands for this key alone.
    pub(super) fn get(&self, key: &[u8]) -> Option<&T> {
        let mut node = &*self.root;
        let mut rest = key;
        while let Some(first) = rest.first() {
            node = node.child(*first)?;
            rest = rest.strip_prefix(node.label.as_slice())?;
        }
        node.exact.as_ref()
    }

    /// Everything that stands for this text: what is there for it alone, then for the texts it begins with, the longest first.
    /// More than eight of the latter take an allocation.
    pub(super) fn matches(&self, text: &[u8]) -> Matches<'_, T> {
        let mut prefixes = SmallVec::new();
        let mut node = &*self.root;
        let mut rest = text;
        let exact = loop {
            if let Some(value) = &node.prefix {
                prefixes.push(value);
            }
            let Some(first) = rest.first() else { break node.exact.as_ref() };
            let Some(child) = node.child(*first) else { break None };
            let Some(below) = rest.strip_prefix(child.label.as_slice()) else { break None };
            (node, rest) = (child, below);
        };
        Matches { exact, prefixes }
    }

    /// How many nodes it has.
    #[cfg(test)]
    pub(super) fn node_count(&self) -> usize {
        self.root.node_count()
    }

    /// Calls for every value, in no promised order.
    pub(super) fn each<'a>(&'a self, see: &mut dyn FnMut(&'a T)) {
        self.root.each(see);
    }
}

impl<T: Clone> Tree<T> {
    /// Puts a value in a slot of a key.
    pub(super) fn set(&mut self, slot: Slot, key: &[u8], value: T) {
        self.change(slot, key, |old| *old = Some(value));
    }

    /// Empties a slot of a key.
    pub(super) fn clear(&mut self, slot: Slot, key: &[u8]) {
        self.change(slot, key, |old| *old = None);
    }

    /// Changes a slot of a key; what is left empty takes no room.
    pub(super) fn change(&mut self, slot: Slot, key: &[u8], change: impl FnOnce(&mut Option<T>)) {
        Node::change(Arc::make_mut(&mut self.root), slot, key, change);
    }
}

impl<T> Node<T> {
    fn of(label: &[u8]) -> Self {
        Self {
            label: SmallVec::from_slice(label),
            firsts: SmallVec::new(),
            children: Vec::new(),
            exact: None,
            prefix: None,
        }
    }

    fn child(&self, first: u8) -> Option<&Self> {
        self.children.get(memchr::memchr(first, &self.firsts)?).map(|child| &**child)
    }

    const fn has_no_value(&self) -> bool {
        self.exact.is_none() && self.prefix.is_none()
    }

    fn slot(&mut self, slot: Slot) -> &mut Option<T> {
        match slot {
            Slot::Exact => &mut self.exact,
            Slot::Prefix => &mut self.prefix,
        }
    }

    #[cfg(test)]
    fn node_count(&self) -> usize {
        1 + self.children.iter().map(|child| child.node_count()).sum::<usize>()
    }

    fn each<'a>(&'a self, see: &mut dyn FnMut(&'a T)) {
        for value in [&self.exact, &self.prefix].into_iter().flatten() {
            see(value);
        }
        for child in &self.children {
            child.each(see);
        }
    }
}

impl<T: Clone> Node<T> {
    fn change(&mut self, slot: Slot, rest: &[u8], change: impl FnOnce(&mut Option<T>)) {
        let Some(first) = rest.first() else {
            change(self.slot(slot));
            return;
        };
        match self.firsts.binary_search(first) {
            Err(at) => {
                let mut leaf = Self::of(rest);
                change(leaf.slot(slot));
                if !leaf.has_no_value() {
                    self.firsts.insert(at, *first);
                    self.children.insert(at, Arc::new(leaf));
                }
            }
            Ok(at) => {
                let Some(child) = self.children.get_mut(at) else { return };
                let child = Arc::make_mut(child);
                let common = child.label.iter().zip(rest).take_while(|(a, b)| a == b).count();
                if common < child.label.len() {
                    child.split(common);
                }
                child.change(slot, rest.get(common..).unwrap_or_default(), change);
                if !child.has_no_value() {
                    return;
                }
                if child.children.is_empty() {
                    self.firsts.remove(at);
                    self.children.remove(at);
                } else {
                    child.join();
                }
            }
        }
    }

    /// Makes two nodes of one: the first `at` bytes of the label above, the rest below.
    fn split(&mut self, at: usize) {
        let (above, below) = self.label.split_at(at);
        let upper = Self::of(above);
        let below: SmallVec<_> = SmallVec::from_slice(below);
        let mut lower = std::mem::replace(self, upper);
        lower.label = below;
        self.firsts.extend(lower.label.first().copied());
        self.children.push(Arc::new(lower));
    }

    /// Makes one node of two, where there is only one child and nothing at the node itself.
    fn join(&mut self) {
        if self.children.len() != 1 {
            return;
        }
        if let Some(only) = self.children.pop() {
            let mut label = std::mem::take(&mut self.label);
            let only = Arc::unwrap_or_clone(only);
            label.extend_from_slice(&only.label);
            *self = Self { label, ..only };
        }
    }
}

/// Everything that stands for a text, see [`Tree::matches`].
pub(super) struct Matches<'a, T> {
    exact: Option<&'a T>,
    prefixes: SmallVec<[&'a T; 8]>,
}

impl<'a, T> Iterator for Matches<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        self.exact.take().or_else(|| self.prefixes.pop())
    }
}

#[cfg(test)]
mod tests;
