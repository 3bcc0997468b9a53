//! The words for kinds of objects, for plugins and for what an object has.

use usher_model::kind::Kind;

use super::intent::Part;
use super::words::{Form, Words};

/// One object, and several.
const KINDS: [(Kind, &str, &str); 13] = [
    (Kind::ConsumerGroup, "consumer group", "consumer groups"),
    (Kind::StreamRoute, "stream route", "stream routes"),
    (Kind::PluginMetadata, "plugin metadata", "plugin metadata"),
    (Kind::Ssl, "certificate|ssl", "certificates|ssls"),
    (Kind::Proto, "proto", "protos"),
    (Kind::Secret, "secret manager", "secret managers"),
    (Kind::PluginConfig, "plugin config|configuration", "plugin configs|configurations"),
    (Kind::GlobalRule, "global rule", "global rules"),
    (Kind::Route, "route", "routes"),
    (Kind::Service, "service", "services"),
    (Kind::Upstream, "upstream|backend", "upstreams|backends"),
    (Kind::Consumer, "consumer", "consumers"),
    (Kind::Credential, "credential", "credentials"),
];

/// Spellings with a hyphen or underscore.
const JOINED: [(Kind, &str, &str); 5] = [
    (Kind::ConsumerGroup, "consumer-group|consumer_group", "consumer-groups|consumer_groups"),
    (Kind::StreamRoute, "stream-route|stream_route", "stream-routes|stream_routes"),
    (Kind::PluginMetadata, "plugin-metadata|plugin_metadata", "plugin-metadata|plugin_metadata"),
    (Kind::PluginConfig, "plugin-config|plugin_config", "plugin-configs|plugin_configs"),
    (Kind::GlobalRule, "global-rule|global_rule", "global-rules|global_rules"),
];

/// A word for one object of a kind.
pub(crate) fn one(words: &mut Words<'_>) -> Option<Kind> {
    KINDS.iter().chain(&JOINED).find(|(_, one, _)| words.eat(one)).map(|(kind, ..)| *kind)
}

/// A word for several objects of a kind.
pub(crate) fn several(words: &mut Words<'_>) -> Option<Kind> {
    KINDS.iter().chain(&JOINED).find(|(_, _, several)| words.eat(several)).map(|(kind, ..)| *kind)
}

/// Plugins as people call them, and their names. Longer phrases come first.
const FEATURES: [(&str, &str); 22] = [
    ("rate-limit|rate-limits|ratelimit", "limit-count"),
    ("rate? limit|limits|limiting", "limit-count"),
    ("key auth|authentication", "key-auth"),
    ("api? key|keys auth|authentication", "key-auth"),
    ("api? key|keys", "key-auth"),
    ("api-key|api-keys|apikey|apikeys|authentication|auth", "key-auth"),
    ("cross-origin requests|access", "cors"),
    ("redirect|redirects|redirection", "redirect"),
    ("path|url? rewrite|rewrites|rewriting", "proxy-rewrite"),
    ("prefix stripping", "proxy-rewrite"),
    ("address|ip restriction|restrictions|rule|rules|list|filter", "ip-restriction"),
    ("whitelist|blacklist|allowlist|denylist", "ip-restriction"),
    ("request id|ids", "request-id"),
    ("request-ids", "request-id"),
    ("metrics|metric", "prometheus"),
    ("cache|caching", "proxy-cache"),
    ("traffic split|splitting", "traffic-split"),
    ("forward auth|authentication", "forward-auth"),
    ("request validation", "request-validation"),
    ("response rewrite|rewriting", "response-rewrite"),
    ("ip-whitelist|ip-blacklist", "ip-restriction"),
    ("proxy rewrite", "proxy-rewrite"),
];

/// The plugins of this version, for plugins called by their own name.
pub(crate) const PLUGINS: [&str; 13] = [
    "key-auth",
    "limit-count",
    "proxy-rewrite",
    "response-rewrite",
    "cors",
    "ip-restriction",
    "request-id",
    "redirect",
    "prometheus",
    "forward-auth",
    "request-validation",
    "traffic-split",
    "proxy-cache",
];

/// A plugin, by its name or as people call it.
pub(crate) fn plugin(words: &mut Words<'_>) -> Option<String> {
    if words.sees("the? plugin config|configs|configuration|configurations") {
        return None;
    }
    if words.eat("the? plugin") {
        return words.take().map(|word| word.low.clone());
    }
    let named = words.peek().filter(|word| word.form == Form::Plain && PLUGINS.contains(&word.low.as_str()));
    if let Some(word) = named {
        words.take();
        return Some(word.low.clone());
    }
    FEATURES.iter().find(|(phrase, _)| words.eat(phrase)).map(|(_, name)| (*name).to_owned())
}

/// Something that an object has and can lose: a plugin or a member.
pub(crate) fn part(words: &mut Words<'_>) -> Option<Part> {
    const MEMBERS: [(&str, &str); 9] = [
        ("description|desc", "desc"),
        ("name", "name"),
        ("label|labels", "labels"),
        ("host|hosts restriction?", "hosts"),
        ("method|methods restriction?", "methods"),
        ("timeout|timeouts", "timeout"),
        ("priority", "priority"),
        ("websocket|websockets", "enable_websocket"),
        ("retry|retries", "retries"),
    ];
    if words.eat("plugin config|configuration") {
        return Some(Part::Member("plugin_config_id"));
    }
    plugin(words)
        .map(Part::Plugin)
        .or_else(|| MEMBERS.iter().find(|(phrase, _)| words.eat(phrase)).map(|(_, name)| Part::Member(name)))
}

const METHODS: [&str; 10] =
    ["get", "post", "put", "delete", "patch", "head", "options", "connect", "trace", "purge"];

/// Whether a word is a method of HTTP.
pub(crate) fn is_method(word: &str) -> bool {
    METHODS.iter().any(|method| method.eq_ignore_ascii_case(word))
}

/// A method of HTTP.
pub(crate) fn method(words: &mut Words<'_>) -> Option<String> {
    let word =
        words.peek().filter(|word| word.form == Form::Plain && METHODS.contains(&word.low.as_str()))?;
    words.take();
    Some(word.low.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::super::words::{Words, split};
    use super::{FEATURES, PLUGINS, plugin};

    #[test]
    fn every_feature_is_a_plugin_and_every_plugin_can_be_said() {
        for (phrase, name) in FEATURES {
            assert!(PLUGINS.contains(&name), "{phrase} means {name}");
        }
        for name in PLUGINS {
            assert_eq!(plugin(&mut Words::new(&split(name))).as_deref(), Some(name));
        }
        for (said, wanted) in [
            ("the plugin limit-count", Some("limit-count")),
            ("API key", Some("key-auth")),
            ("rate limit", Some("limit-count")),
            ("speaker", None),
        ] {
            assert_eq!(plugin(&mut Words::new(&split(said))).as_deref(), wanted, "{said}");
        }
    }
}
