//! References to secrets that are kept elsewhere: `$env://NAME`, `$secret://vault/1/path/key`.
//!
//! They stand wherever a schema wants a text. Here they are only read; whoever uses the secret resolves them.

use std::fmt;

use serde_json::Value;

use crate::kind::{Key, Kind, SECRET_MANAGERS};

/// What begins a reference into a secret manager.
const SECRET: &str = "$secret://";
/// What begins a reference into the environment, in any mixture of cases.
const ENV: &str = "$env://";

/// What begins the variables that Usher itself is set up by.
const OWN: &str = "USHER_";

/// What begins the stand-in for a certificate's private key that only an APISIX knows, where that is the store: nobody here can look it up.
pub const KEPT_BY_APISIX: &str = "$secret://apisix/ssls/";

/// A reference, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A variable of the process's environment.
    Environment {
        /// The variable's name.
        name: String,
        /// The member of the JSON object that the variable holds; `None` takes its whole text.
        key: Option<String>,
    },
    /// Something that a secret manager keeps.
    Managed {
        /// The manager as a resource, such as `secret vault/1`.
        manager: Key,
        /// Where the manager keeps it: a path in Vault, a secret's name in AWS and GCP.
        path: String,
        /// The member of what is kept there; only AWS gives a secret whole, which is `None`.
        key: Option<String>,
    },
}

/// A text that begins like a reference and can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no reference to a secret: {wrong}")]
pub struct BadReference {
    given: String,
    wrong: String,
}

impl Reference {
    /// Takes a text apart; `None` where it is no reference at all.
    ///
    /// # Errors
    /// What is missing, and how the whole looks.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, BadReference>> {
        let parsed = if let Some(rest) = strip_env(text) {
            environment(rest)
        } else {
            managed(text.strip_prefix(SECRET)?)
        };
        Some(parsed.map_err(|wrong| BadReference { given: text.chars().take(200).collect(), wrong }))
    }

    /// The manager that has to know it; `None` for the environment.
    #[must_use]
    pub const fn manager(&self) -> Option<&Key> {
        match self {
            Self::Environment { .. } => None,
            Self::Managed { manager, .. } => Some(manager),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, key) = match self {
            Self::Environment { name, key } => (format!("{ENV}{name}"), key),
            Self::Managed { manager, path, key } => (format!("{SECRET}{}/{path}", manager.id), key),
        };
        match key {
            Some(key) => write!(f, "{start}/{key}"),
            None => f.write_str(&start),
        }
    }
}

/// Whether a text begins like a reference, well formed or not.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    text.starts_with(SECRET) || strip_env(text).is_some()
}

/// Calls `f` for every text of a value that begins like a reference, with its JSON pointer. Stand-ins for keys that are kept elsewhere are none.
pub fn each(value: &Value, f: &mut impl FnMut(&str, &str)) {
    walk(value, &mut String::new(), f);
}

/// Whether a pointer leads to a certificate's private key.
fn is_key(pointer: &str) -> bool {
    pointer == "/key" || pointer.starts_with("/keys/")
}

fn walk(value: &Value, pointer: &mut String, f: &mut impl FnMut(&str, &str)) {
    let length = pointer.len();
    match value {
        Value::String(text) if text.starts_with(KEPT_BY_APISIX) && is_key(pointer) => {}
        Value::String(text) if text.starts_with('$') && is_reference(text) => f(text, pointer),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate().filter(|(_, item)| may_hold(item)) {
                pointer.push('/');
                pointer.push_str(&at.to_string());
                walk(item, pointer, f);
                pointer.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(_, member)| may_hold(member)) {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                walk(member, pointer, f);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

/// Most members are plain; no pointer is written for those.
fn may_hold(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with('$'),
        other => other.is_array() || other.is_object(),
    }
}

fn strip_env(text: &str) -> Option<&str> {
    let (start, rest) = text.split_at_checked(ENV.len())?;
    start.eq_ignore_ascii_case(ENV).then_some(rest)
}

fn environment(rest: &str) -> Result<Reference, String> {
    let (name, key) = match rest.split_once('/') {
        Some((name, key)) => (name, Some(key).filter(|key| !key.is_empty())),
        None => (rest, None),
    };
    if name.is_empty() {
        return Err(
            "it names no variable; write $env://NAME, or $env://NAME/key for a member of its JSON".to_owned()
        );
    }
    // They hold the keys of this very process, which no object has a use for.
    if name.get(..OWN.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN)) {
        return Err(format!("variables that begin with {OWN} are Usher's own settings; use another name"));
    }
    Ok(Reference::Environment { name: name.to_owned(), key: key.map(str::to_owned) })
}

fn managed(rest: &str) -> Result<Reference, String> {
    let form = "write $secret://manager/id/path/key, such as $secret://vault/1/users/jack/key";
    let mut parts = rest.splitn(3, '/');
    let mut next = |what: &str| match parts.next().filter(|part| !part.is_empty()) {
        Some(part) => Ok(part),
        None => Err(format!("it names no {what}; {form}")),
    };
    let (manager, id, rest) = (next("secret manager")?, next("id of a secret manager")?, next("key")?);
    if !SECRET_MANAGERS.contains(&manager) {
        let known = SECRET_MANAGERS.join(", ");
        return Err(format!("{manager:?} is no secret manager; the managers are {known}"));
    }
    // AWS keeps one text or JSON object a name, the others a tree.
    let split = if manager == "aws" { rest.split_once('/') } else { rest.rsplit_once('/') };
    let (path, key) = match split {
        Some((path, key)) => (path, Some(key)),
        None if manager == "aws" => (rest, None),
        None => return Err(format!("it names no key behind the path {rest:?}; {form}")),
    };
    if path.is_empty() || key.is_some_and(str::is_empty) {
        return Err(format!("its path or its key is empty; {form}"));
    }
    Ok(Reference::Managed {
        manager: Key::new(Kind::Secret, format!("{manager}/{id}")),
        path: path.to_owned(),
        key: key.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Reference, each, is_reference};

    #[test]
    fn a_key_that_an_apisix_keeps_is_looked_up_by_nobody() {
        let kept = "$secret://apisix/ssls/a/key";
        let mut found = Vec::new();
        let value = json!({ "key": kept, "keys": [kept, "$env://K"], "plugins": { "x": { "key": kept } } });
        each(&value, &mut |_, pointer| found.push(pointer.to_owned()));
        assert_eq!(found, ["/keys/1", "/plugins/x/key"]);
        assert!(is_reference(kept));
    }

    #[test]
    fn references_are_taken_apart_and_put_together() {
        for (text, wanted) in [
            ("$env://KEY", "$env://KEY"),
            ("$ENV://KEY", "$env://KEY"),
            ("$Env://KEY/a/b", "$env://KEY/a/b"),
            ("$env://KEY/", "$env://KEY"),
            ("$secret://vault/1/users/jack/key", "$secret://vault/1/users/jack/key"),
            ("$secret://aws/prod/token", "$secret://aws/prod/token"),
            ("$secret://aws/prod/token/key", "$secret://aws/prod/token/key"),
            ("$secret://gcp/g/name/key", "$secret://gcp/g/name/key"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().unwrap().to_string(), wanted);
        }
        let vault = Reference::parse("$secret://vault/1/users/jack/key").unwrap().unwrap();
        let Reference::Managed { manager, path, key } = vault else { panic!("{vault:?}") };
        assert_eq!(
            (manager.id.as_str(), path.as_str(), key.as_deref()),
            ("vault/1", "users/jack", Some("key"))
        );
        let Reference::Managed { path, key, .. } =
            Reference::parse("$secret://aws/1/name/a/b").unwrap().unwrap()
        else {
            panic!("no manager");
        };
        assert_eq!((path.as_str(), key.as_deref()), ("name", Some("a/b")));
    }

    #[test]
    fn what_is_missing_is_said_and_ordinary_texts_are_left_alone() {
        for (text, word) in [
            ("$env://", "no variable"),
            ("$env://USHER_ADMIN_KEY", "Usher's own settings"),
            ("$ENV://usher_admin_key", "Usher's own settings"),
            ("$secret://", "no secret manager"),
            ("$secret://vault", "no id"),
            ("$secret://vault/1", "no key"),
            ("$secret://vault/1/path", "no key behind the path"),
            ("$secret://vault/1/path/", "empty"),
            ("$secret://other/1/path/key", "vault, aws, gcp"),
        ] {
            let error = Reference::parse(text).unwrap().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
            assert!(is_reference(text));
        }
        for text in ["", "$env:/A", "secret://vault/1/a/b", "$SECRET://vault/1/a/b", "$\u{e9}nv://x", "$env"]
        {
            assert!(Reference::parse(text).is_none() && !is_reference(text), "{text}");
        }
    }

    #[test]
    fn references_are_found_where_they_stand() {
        let value =
            json!({ "a": ["x", "$env://A"], "b/c": { "d": "$secret://vault/1/a/b" }, "e": "$remote_addr" });
        let mut found = Vec::new();
        each(&value, &mut |text, pointer| found.push(format!("{pointer} {text}")));
        assert_eq!(found, ["/a/1 $env://A", "/b~1c/d $secret://vault/1/a/b"]);
    }
}
