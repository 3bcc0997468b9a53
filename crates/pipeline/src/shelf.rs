//! What plugins keep on one worker from request to request: connections and the like, which must not leave their thread.
//!
//! Things are found by their type and a text, such as the settings that they were made of. The number of things has a bound: beyond it the one
//! that was asked for least recently makes room.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::rc::Rc;

/// Things that one worker keeps at most.
const MOST: usize = 4096;

/// What plugins keep on one worker.
#[derive(Default)]
pub struct Shelf(RefCell<Vec<Kept>>);

struct Kept {
    kind: TypeId,
    key: Box<str>,
    thing: Rc<dyn Any>,
}

impl Shelf {
    /// The thing of this type and key; made at its first use. `make` may not use the shelf itself.
    pub fn keep<T: Any>(&self, key: &str, make: impl FnOnce() -> T) -> Rc<T> {
        let kind = TypeId::of::<T>();
        let mut things = self.0.borrow_mut();
        // The last ones used stand at the end, where they are found first.
        let found = things.iter().rposition(|kept| kept.kind == kind && *kept.key == *key);
        if let Some(at) = found
            && let Some(thing) = things.get(at).and_then(|kept| Rc::clone(&kept.thing).downcast().ok())
        {
            if at + 8 < things.len() {
                let kept = things.remove(at);
                things.push(kept);
            }
            return thing;
        }
        if things.len() >= MOST {
            things.remove(0);
        }
        let thing = Rc::new(make());
        things.push(Kept { kind, key: key.into(), thing: Rc::<T>::clone(&thing) });
        thing
    }

    /// Lets go of everything.
    pub fn clear(&self) {
        let things = std::mem::take(&mut *self.0.borrow_mut());
        drop(things);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{MOST, Shelf};

    #[test]
    fn things_are_found_by_type_and_key() {
        let shelf = Shelf::default();
        let one = shelf.keep("a", || 1_u32);
        assert!(Rc::ptr_eq(&one, &shelf.keep("a", || 2_u32)));
        assert_eq!((*shelf.keep("a", || 3_u64), *shelf.keep("b", || 4_u32)), (3, 4));
        shelf.clear();
        assert_eq!(*shelf.keep("a", || 5_u32), 5);
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let shelf = Shelf::default();
        for number in 0..MOST + 10 {
            shelf.keep(&number.to_string(), || number);
            shelf.keep("often", || usize::MAX);
        }
        assert_eq!(*shelf.keep("often", || 0), usize::MAX);
        assert_eq!(*shelf.keep("0", || 7), 7, "the first one is gone");
    }
}
