//! Sealing anew with the newest key what an older one sealed, so that the older one can be thrown away.

use serde_json::Value;

use super::{BadSeal, Keyring, is_sealed};

/// Sealing anew. Equal sealed texts of one record become equal again, also in another run after this one was broken off, so that a history still
/// fits the resources that it tells of.
#[derive(Clone, Copy)]
pub struct Reseal<'k> {
    ring: &'k Keyring,
}

impl<'k> Reseal<'k> {
    /// With the first key of a ring.
    #[must_use]
    pub const fn new(ring: &'k Keyring) -> Self {
        Self { ring }
    }

    /// Seals anew inside a value of a record what an older key sealed, and says how many texts that were.
    ///
    /// # Errors
    /// The first text that no key of the ring opens; the value may be half done then and must not be used.
    pub fn value(self, record: &str, value: &mut Value) -> Result<usize, BadSeal> {
        match value {
            Value::String(text) if is_sealed(text) && !self.ring.is_newest(text) => {
                *text = self.ring.reseal(record, text)?;
                Ok(1)
            }
            Value::Array(items) => {
                items.iter_mut().try_fold(0, |count, item| Ok(count + self.value(record, item)?))
            }
            Value::Object(members) => {
                members.values_mut().try_fold(0, |count, member| Ok(count + self.value(record, member)?))
            }
            _ => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Reseal;
    use crate::seal::Keyring;

    #[test]
    fn what_an_older_key_sealed_is_sealed_by_the_newest_and_nothing_else_changes() {
        let (old, old_key) = Keyring::generate().unwrap();
        let (new, new_key) = Keyring::generate().unwrap();
        let both = Keyring::new(&[new_key, old_key]).unwrap();
        let sealed = old.seal("r", "one").unwrap();
        let mut value = json!({ "a": sealed, "b": [sealed, new.seal("r", "two").unwrap()], "c": "clear" });
        let two = value["b"][1].clone();
        assert!(both.has_older_seals(&value));
        assert_eq!(Reseal::new(&both).value("r", &mut value), Ok(2));
        assert!(!both.has_older_seals(&value));
        assert_eq!(value["a"], value["b"][0]);
        assert_eq!(new.open("r", value["a"].as_str().unwrap()).unwrap(), "one");
        assert_eq!((&value["b"][1], &value["c"]), (&two, &json!("clear")));
        assert!(Reseal::new(&both).value("s", &mut json!(sealed)).is_err());
    }
}
