//! The keys that consistent hashing may go by, for each `hash_on` (APISIX's `schema_def`).

/// Variables that a key may be, besides arguments.
const VARIABLES: [&str; 10] = [
    "uri",
    "server_name",
    "server_addr",
    "request_uri",
    "remote_port",
    "remote_addr",
    "query_string",
    "host",
    "hostname",
    "mqtt_client_id",
];

/// The pattern that a key doesn't match; `None` for a good one.
pub(super) fn refusal(hash_on: &str, key: &str) -> Option<&'static str> {
    let is_name = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    match hash_on {
        "vars" => {
            let good = VARIABLES.contains(&key) || key.strip_prefix("arg_").is_some_and(is_name);
            (!good).then_some(
                "^((uri|server_name|server_addr|request_uri|remote_port|remote_addr|query_string|host|hostname|mqtt_client_id)|arg_[0-9a-zA-z_-]+)$",
            )
        }
        "header" | "cookie" => (!is_name(key)).then_some("^[a-zA-Z0-9-_]+$"),
        "vars_combinations" => (!key.contains('$')).then_some("(\\$[0-9a-zA-z_-]+)+"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn each_kind_has_keys_of_its_own() {
        for (hash_on, key, good) in [
            ("vars", "uri", true),
            ("vars", "arg_user-id", true),
            ("vars", "arg_", false),
            ("vars", "http_x", false),
            ("header", "X-User", true),
            ("header", "X User", false),
            ("cookie", "", false),
            ("vars_combinations", "$uri$remote_addr", true),
            ("vars_combinations", "uri", false),
            ("consumer", "anything", true),
        ] {
            assert_eq!(refusal(hash_on, key).is_none(), good, "{hash_on} {key}");
        }
    }
}
