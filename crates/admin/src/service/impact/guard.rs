//! What decides who may come, and by what it gets weaker.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;
use usher_pipeline::registry::Registry;

/// What plugins of the auth kind give.
const AUTHENTICATION: &str = "authentication";

/// Plugins that decide who may come without being of the auth kind, and what goes away with them. Those that Usher doesn't have yet stand here
/// so that they are protection from their first day.
const DECIDERS: [(&str, &str); 11] = [
    // Another service is asked whether a request may pass.
    ("forward-auth", "authorization"),
    ("opa", "authorization"),
    ("authz-casbin", "authorization"),
    ("authz-keycloak", "authorization"),
    // The client's address decides.
    ("ip-restriction", "restriction of addresses"),
    // Who the client was found to be decides.
    ("consumer-restriction", "restriction of consumers"),
    ("acl", "restriction of consumers"),
    // The client proves who it is, whether or not consumers come into it.
    ("openid-connect", AUTHENTICATION),
    ("jwt-auth", AUTHENTICATION),
    ("cas-auth", AUTHENTICATION),
    ("saml-auth", AUTHENTICATION),
];

/// Plugins of which nearly every member says who may come, so that any change of it is one of who does.
const JUDGES_BY_BODY: [&str; 9] = [
    "acl",
    "authz-casbin",
    "authz-keycloak",
    "consumer-restriction",
    "hmac-auth",
    "jwt-auth",
    "multi-auth",
    "opa",
    "openid-connect",
];

/// Networks that a sentence names; the rest is counted.
const NAMED: usize = 5;

/// A plugin that decides who may come, and that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard<'a> {
    pub(super) name: &'a str,
    gives: &'static str,
    body: &'a Value,
}

impl Guard<'_> {
    /// Whether it says who a client is, and not what that one may do.
    pub(super) fn authenticates(&self) -> bool {
        self.gives == AUTHENTICATION
    }

    /// The condition under which it runs at all.
    fn filter(&self) -> Option<&Value> {
        self.body
            .pointer("/_meta/filter")
            .filter(|filter| !filter.is_null() && filter.as_array().is_none_or(|list| !list.is_empty()))
    }

    fn is_set(&self, member: &str) -> bool {
        self.body.get(member).is_some_and(|value| !value.is_null())
    }

    fn is(&self, member: &str, value: bool) -> bool {
        self.body.get(member) == Some(&Value::Bool(value))
    }

    /// Whether it lets some in that it doesn't look at, or not for what they are.
    fn is_open(&self) -> bool {
        self.is_set("anonymous_consumer") || self.filter().is_some()
    }

    /// What a later form of the same plugin lets through that this one doesn't.
    fn weaker(&self, later: &Self, told: &mut Vec<String>) {
        let name = self.name;
        let filtered = later.filter().is_some() && later.filter() != self.filter();
        let anonymous = later.is_set("anonymous_consumer") && !self.is_set("anonymous_consumer");
        if self.authenticates() && (filtered || anonymous) {
            told.push(format!("lets requests pass {name} without a credential"));
        } else if filtered {
            told.push(format!("lets requests pass {name} by its filter"));
        }
        match name {
            "forward-auth" => {
                if later.is("allow_degradation", true) && !self.is("allow_degradation", true) {
                    told.push(format!("lets requests pass {name} while the service that it asks is away"));
                }
                if later.is("ssl_verify", false) && !self.is("ssl_verify", false) {
                    told.push(format!("no longer makes sure whom {name} asks: ssl_verify is false"));
                }
                if later.body.get("uri") != self.body.get("uri") {
                    told.push(format!("lets another service than before decide in {name}: its uri changes"));
                }
            }
            "ip-restriction" => {
                told.extend(admitted(self.body, later.body).map(|who| format!("lets {who} pass {name}")));
            }
            name if JUDGES_BY_BODY.contains(&name) && self.rules() != later.rules() => {
                told.push(format!("changes whom {name} lets pass"));
            }
            _ => {}
        }
    }

    /// Its body without what stands around it.
    fn rules(&self) -> BTreeMap<&str, &Value> {
        let members = self.body.as_object().into_iter().flatten();
        members.filter(|(name, _)| *name != "_meta").map(|(name, value)| (name.as_str(), value)).collect()
    }
}

/// The guards among these bodies that are switched on.
pub(super) fn guards<'a>(
    registry: &Registry,
    plugins: impl IntoIterator<Item = (&'a str, &'a Value)>,
) -> Vec<Guard<'a>> {
    plugins
        .into_iter()
        .filter(|(_, body)| body.pointer("/_meta/disable") != Some(&Value::Bool(true)))
        .filter_map(|(name, body)| Some(Guard { name, gives: gives(registry, name)?, body }))
        .collect()
}

fn gives(registry: &Registry, name: &str) -> Option<&'static str> {
    if registry.find(name).is_some_and(|spec| spec.is_auth()) {
        return Some(AUTHENTICATION);
    }
    DECIDERS.iter().find(|(known, _)| *known == name).map(|(_, gives)| *gives)
}

/// What is weaker afterwards, as sentences without their subject.
pub(super) fn weaker(before: &[Guard<'_>], after: &[Guard<'_>]) -> Vec<String> {
    // One kind of authentication in place of another is a change, not a loss.
    let is_new = |guard: &Guard<'_>| before.iter().all(|known| known.name != guard.name);
    let another = after.iter().any(|guard| guard.authenticates() && !guard.is_open() && is_new(guard));
    let mut told = Vec::new();
    for guard in before {
        match after.iter().find(|later| later.name == guard.name) {
            Some(later) => guard.weaker(later, &mut told),
            None if guard.authenticates() && another => {}
            None => told.push(format!("loses its {} by {}", guard.gives, guard.name)),
        }
    }
    told
}

/// Whom a changed ip-restriction admits that it did not admit before.
fn admitted(before: &Value, after: &Value) -> Option<String> {
    let list = |body: &Value, member: &str| body.get(member).map(networks);
    let (white, black) = (list(before, "whitelist"), list(before, "blacklist"));
    let admitted = match (white, list(after, "whitelist"), black, list(after, "blacklist")) {
        (Some(old), Some(new), ..) => without(new, &old),
        (Some(_), None, ..) => return Some("all that are in no list".to_owned()),
        (None, Some(new), Some(old), _) => old
            .into_iter()
            .filter(|refused| new.iter().any(|net| net.contains(refused) || refused.contains(net)))
            .collect(),
        (None, None, Some(old), new) => without(old, &new.unwrap_or_default()),
        (None, _, None, _) => Vec::new(),
    };
    if admitted.is_empty() {
        return None;
    }
    let more = admitted.len().saturating_sub(NAMED);
    let mut named: Vec<String> = admitted.iter().take(NAMED).map(IpNet::to_string).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    Some(named.join(", "))
}

/// The networks that don't lie within `within`.
fn without(networks: Vec<IpNet>, within: &[IpNet]) -> Vec<IpNet> {
    let joined = IpNet::aggregate(&within.to_vec());
    networks.into_iter().filter(|net| !joined.iter().any(|wide| wide.contains(net))).collect()
}

fn networks(list: &Value) -> Vec<IpNet> {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts
        .filter_map(|text| text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::admitted;

    #[test]
    fn whoever_may_come_in_addition_is_named() {
        for (before, after, wanted) in [
            (
                json!({ "whitelist": ["10.0.0.0/8"] }),
                json!({ "whitelist": ["10.1.0.0/16", "10.2.3.4"] }),
                None,
            ),
            (
                json!({ "whitelist": ["10.0.0.0/9", "10.128.0.0/9"] }),
                json!({ "whitelist": ["10.0.0.0/8"] }),
                None,
            ),
            (
                json!({ "whitelist": ["10.0.0.1"] }),
                json!({ "whitelist": ["10.0.0.1", "0.0.0.0/0"] }),
                Some("0.0.0.0/0"),
            ),
            (
                json!({ "whitelist": ["10.0.0.1"] }),
                json!({ "blacklist": ["::1"] }),
                Some("all that are in no list"),
            ),
            (
                json!({ "blacklist": ["10.0.0.1", "::1"] }),
                json!({ "blacklist": ["10.0.0.0/8"] }),
                Some("::1/128"),
            ),
            (json!({ "blacklist": ["10.0.0.1"] }), json!({ "blacklist": ["10.0.0.1", "::1"] }), None),
            (
                json!({ "blacklist": ["10.0.0.1"] }),
                json!({ "whitelist": ["10.0.0.0/8"] }),
                Some("10.0.0.1/32"),
            ),
            (json!({ "blacklist": ["10.0.0.1"] }), json!({ "whitelist": ["::1"] }), None),
        ] {
            assert_eq!(admitted(&before, &after).as_deref(), wanted, "{before} {after}");
        }
    }
}
