//! Addresses that plugins call, such as an authorization service's: none may be one that no upstream may be.

use std::net::SocketAddr;

use serde_json::Value;

use super::super::references::{each_object_in_plugins, pointer_part};
use super::nodes::refused;

/// How the names of members end that hold an address to call. A text elsewhere, such as an allowed origin, is called by nobody.
const ENDINGS: [&str; 9] = ["uri", "uris", "url", "urls", "endpoint", "endpoints", "addr", "addrs", "host"];

/// Checks every http(s) address inside a resource's plugins.
///
/// # Errors
/// The sentence and the JSON pointer of the first one that is refused.
pub(super) fn check(own: &[SocketAddr], value: &Value) -> Result<(), (String, String)> {
    let mut judged = Ok(());
    each_object_in_plugins(value, &mut |object, pointer| {
        let members = object.as_object().into_iter().flatten();
        for (name, member) in members.filter(|(name, _)| tells(name)) {
            let texts = member.as_array().map_or_else(|| std::slice::from_ref(member), Vec::as_slice);
            for (host, port) in texts.iter().filter_map(Value::as_str).filter_map(callee) {
                if judged.is_ok()
                    && let Some(reason) = refused(own, host, port)
                {
                    let address = if host.contains(':') {
                        format!("[{host}]:{port}")
                    } else {
                        format!("{host}:{port}")
                    };
                    let sentence = format!(
                        "`{name}` points at {address}, which is refused: it is {reason}; name a server of your own"
                    );
                    judged = Err((sentence, format!("{pointer}/{}", pointer_part(name))));
                }
            }
        }
    });
    judged
}

fn tells(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Host and port of an http(s) address; the scheme's own port where the text gives no number.
fn callee(text: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = text.trim().split_once("://")?;
    let usual = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = match place.strip_prefix('[') {
        Some(inner) => {
            let (host, behind) = inner.split_once(']')?;
            (host, behind.strip_prefix(':'))
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    Some((host, port.and_then(|port| port.parse().ok()).unwrap_or(usual)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    fn told(plugins: &Value) -> Result<(), (String, String)> {
        let own = ["127.0.0.1:9180", "[::1]:5000", "127.0.0.1:80"].map(|text| text.parse().unwrap());
        check(&own, &json!({ "plugins": plugins }))
    }

    #[test]
    fn what_a_plugin_calls_is_judged_as_a_node_is() {
        for (address, good) in [
            ("http://127.0.0.1:8080/auth", true),
            ("https://auth.example", true),
            ("http://$host/auth", true),
            ("/auth", true),
            ("ftp://127.0.0.1:9180/", true),
            ("https://127.0.0.1", true),
            ("http://127.0.0.1", false),
            ("http://127.0.0.1:9180/apisix/admin/routes", false),
            ("HTTP://LOCALHOST:9180", false),
            (" http://127.1:9180?x", false),
            ("http://user:word@127.0.0.1:9180/", false),
            ("http://a.example\\@127.0.0.1:9180/", true),
            ("http://[::1]:5000#x", false),
            ("http://[::ffff:127.0.0.1]:9180", false),
            ("http://169.254.169.254/latest/meta-data", false),
            ("http://169.254.169.254:$port/", false),
            ("https://metadata.google.internal/", false),
        ] {
            assert_eq!(told(&json!({ "forward-auth": { "uri": address } })).is_ok(), good, "{address}");
        }
    }

    #[test]
    fn addresses_are_found_by_their_members_and_their_users_are_not_repeated() {
        let bad = "http://user:word@127.0.0.1:9180/";
        for (plugins, pointer) in [
            (json!({ "forward-auth": { "uri": bad } }), "/plugins/forward-auth/uri"),
            (json!({ "a": { "deep": [{ "Token_URL": bad }] } }), "/plugins/a/deep/0/Token_URL"),
            (json!({ "a": { "endpoints": ["http://b.example", bad] } }), "/plugins/a/endpoints"),
        ] {
            let (sentence, at) = told(&plugins).unwrap_err();
            assert_eq!(at, pointer);
            assert!(sentence.contains("127.0.0.1:9180") && !sentence.contains("word"), "{sentence}");
        }
        for good in [
            json!({ "cors": { "allow_origins": bad } }),
            json!({ "a": { "schema": { "properties": { "uri": { "default": bad } } } } }),
            json!({ "a": { "uri": 5, "url": { "text": bad } } }),
        ] {
            assert!(told(&good).is_ok(), "{good}");
        }
    }
}
