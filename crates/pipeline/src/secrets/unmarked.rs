//! Credentials that no schema marks: members of plugin bodies whose names say what they hold, such as a header that a plugin sends.
//!
//! Names are compared without regard to case, `_` as `-`. A member counts where it is a text, or a list of texts: a schema inside a body that
//! describes a `password` is no credential. Texts that only name variables of the request are none either.

use serde_json::Value;
use usher_model::seal::is_sealed;

/// Names that hold credentials.
const NAMES: [&str; 7] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "apikey", "x-auth-token"];
/// How such names end.
const ENDING: &str = "-secret";
/// What such names contain.
const PART: &str = "password";

/// Calls `f` with the names that lead to each credential; lists are stepped through without a name of their own.
pub(super) fn each<'v>(body: &'v Value, f: &mut impl FnMut(&[&'v str])) {
    walk(body, &mut Vec::new(), f);
}

fn walk<'v>(value: &'v Value, path: &mut Vec<&'v str>, f: &mut impl FnMut(&[&'v str])) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, path, f)),
        Value::Object(members) => {
            for (name, member) in members {
                path.push(name);
                if tells(name) && holds(member) {
                    f(path);
                } else {
                    walk(member, path, f);
                }
                path.pop();
            }
        }
        _ => {}
    }
}

/// Whether a member's name says that it holds a credential.
fn tells(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    NAMES.contains(&name.as_str()) || name.ends_with(ENDING) || name.contains(PART)
}

fn holds(member: &Value) -> bool {
    match member {
        Value::String(text) => !text.is_empty() && (is_sealed(text) || !is_only_variables(text)),
        Value::Array(items) => items.iter().all(Value::is_string) && items.iter().any(holds),
        _ => false,
    }
}

/// `$remote_addr`, `${http_authorization}`, and several of them.
fn is_only_variables(text: &str) -> bool {
    let mut rest = text.trim();
    while let Some(name) = rest.strip_prefix('$') {
        let (name, behind) = match name.strip_prefix('{') {
            Some(braced) => braced.split_once('}').unwrap_or_default(),
            None => name.split_at(name.find(|letter| !is_of_a_name(letter)).unwrap_or(name.len())),
        };
        if name.is_empty() || !name.chars().all(is_of_a_name) {
            return false;
        }
        rest = behind.trim_start();
    }
    rest.is_empty()
}

const fn is_of_a_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::each;

    #[test]
    fn names_tell_credentials_and_variables_are_none() {
        let body = json!({
            "extra_headers": { "Authorization": "Bearer x", "X-Other": "y", "Cookie": "$cookie_a", "X_API_KEY": "${http_a}b" },
            "headers": { "set": { "Proxy-Authorization": ["$a", "b"], "apikey": "${http_apikey} $remote_addr", "X-Auth-Token": "" } },
            "list": [{ "client_secret": "a" }, { "redisPassword": "$" }],
            "schema": { "properties": { "password": { "type": "string", "default": "x" } }, "required": ["password"] },
        });
        let mut found = Vec::new();
        each(&body, &mut |path| found.push(path.join(".")));
        assert_eq!(
            found,
            [
                "extra_headers.Authorization",
                "extra_headers.X_API_KEY",
                "headers.set.Proxy-Authorization",
                "list.client_secret",
                "list.redisPassword",
            ]
        );
    }
}
