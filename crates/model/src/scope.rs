//! A scope: the part of the configuration that somebody may read and change, by label, host and path prefix.
//!
//! Whatever is given has to hold: a scope with a label and a host admits what carries the label and takes no other host. What runs for every
//! request, such as a global rule, lies in no scope but the whole.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::Kind;

/// The most labels, hosts or paths of one scope, each.
const MOST: usize = 64;

/// The most characters of a label, host or path.
const LONGEST: usize = 256;

/// A part of the configuration. Empty is the whole of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// Labels as `name=value`: of each name that is given, a resource has to carry one of the values. At most 64 of 256 characters.
    pub labels: Vec<String>,
    /// Hosts as routes have them, `*.example.com` among them: a resource may take no other. At most 64 of 256 characters.
    pub hosts: Vec<String>,
    /// Path prefixes such as `/pay`, which holds `/pay` and `/pay/*` but not `/payroll`: a route may take no other path. At most 64 of 256
    /// characters.
    pub paths: Vec<String>,
}

impl Scope {
    /// The whole configuration.
    pub const ALL: Self = Self { labels: Vec::new(), hosts: Vec::new(), paths: Vec::new() };

    /// Whether this is the whole configuration.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.labels.is_empty() && self.hosts.is_empty() && self.paths.is_empty()
    }

    /// Whether the scope can be meant so.
    ///
    /// # Errors
    /// The sentence about the first part that can't.
    pub fn check(&self) -> Result<(), String> {
        for (what, list) in [("labels", &self.labels), ("hosts", &self.hosts), ("paths", &self.paths)] {
            if list.len() > MOST {
                return Err(format!("the scope has {} {what}, but at most {MOST} are taken", list.len()));
            }
            if let Some(long) = list.iter().find(|text| text.chars().count() > LONGEST) {
                let begin: String = long.chars().take(40).collect();
                return Err(format!("{what} of the scope: {begin:?}... is longer than {LONGEST} characters"));
            }
        }
        let is_label = |text: &String| {
            text.split_once('=').is_some_and(|(name, value)| !name.is_empty() && !value.is_empty())
        };
        if let Some(bad) = self.labels.iter().find(|text| !is_label(text)) {
            return Err(format!("labels of the scope: {bad:?} is no label; write it as name=value"));
        }
        let is_host = |text: &String| {
            let name = text.strip_prefix("*.").unwrap_or(text);
            !name.is_empty() && !name.contains(|letter: char| "*/: ".contains(letter) || letter.is_control())
        };
        if let Some(bad) = self.hosts.iter().find(|text| !is_host(text)) {
            return Err(format!(
                "hosts of the scope: {bad:?} is no host; write a name, or *.name for those below it"
            ));
        }
        if let Some(bad) = self.paths.iter().find(|text| !text.starts_with('/') || text.contains('*')) {
            return Err(format!(
                "paths of the scope: {bad:?} is no path prefix; write one that begins with / and has no *"
            ));
        }
        Ok(())
    }

    /// Why a resource lies outside, if it does. `service` is the one that a route belongs to: a route without hosts takes those.
    ///
    /// What lives below another resource, such as a credential, lies where that one does: ask with the other's kind and value.
    #[must_use]
    pub fn misfit(&self, kind: Kind, value: &Value, service: Option<&Value>) -> Option<String> {
        if self.is_all() {
            return None;
        }
        let outside = self.misfit_of_kind(kind).or_else(|| self.wrong_label(value));
        outside.or_else(|| self.wrong_place(kind, value, service))
    }

    /// Why no resource of a kind lies inside, if so, whatever its value.
    #[must_use]
    pub fn misfit_of_kind(&self, kind: Kind) -> Option<String> {
        (!self.is_all() && matches!(kind, Kind::GlobalRule | Kind::PluginMetadata))
            .then(|| format!("a {kind} is met by every request, and so lies in no scope"))
    }

    fn wrong_label(&self, value: &Value) -> Option<String> {
        let carried =
            |name: &str| value.get("labels").and_then(|labels| labels.get(name)).and_then(Value::as_str);
        let missing = self.labels.iter().filter_map(|label| label.split_once('=')).find(|(name, _)| {
            let wanted = self.labels.iter().filter_map(|label| label.split_once('='));
            let mut values = wanted.filter(|(other, _)| other == name).map(|(_, value)| Some(value));
            !values.any(|value| value == carried(name))
        });
        missing.map(|(name, _)| {
            let all =
                self.labels.iter().filter(|label| label.split_once('=').is_some_and(|(own, _)| own == name));
            format!("it needs the label {}", all.cloned().collect::<Vec<_>>().join(" or "))
        })
    }

    fn wrong_place(&self, kind: Kind, value: &Value, service: Option<&Value>) -> Option<String> {
        if self.hosts.is_empty() && self.paths.is_empty() {
            return None;
        }
        let mut hosts = texts(value, &["host", "hosts", "sni", "snis"]);
        if hosts.is_empty() && kind == Kind::Route {
            hosts = service.map_or_else(Vec::new, |service| texts(service, &["hosts"]));
        }
        let has_place = match kind {
            Kind::Route | Kind::StreamRoute | Kind::Ssl => true,
            // A service without hosts stands in no place of its own, as an upstream.
            Kind::Service => !hosts.is_empty(),
            _ => false,
        };
        if !has_place || (self.hosts.is_empty() && kind != Kind::Route) {
            // The label, if there is one, was found.
            let sentence =
                format!("a {kind} has no place of its own: only a label can bring it into the scope");
            return self.labels.is_empty().then_some(sentence);
        }
        if !self.hosts.is_empty() {
            let told = self.hosts.join(" or ");
            if hosts.is_empty() {
                return Some(format!("it takes every host, but the scope holds only {told}"));
            }
            if let Some(other) =
                hosts.iter().find(|host| !self.hosts.iter().any(|own| covers_host(own, host)))
            {
                return Some(format!("it takes the host {other:?}, but the scope holds only {told}"));
            }
        }
        if !self.paths.is_empty() && kind == Kind::Route {
            let other = texts(value, &["uri", "uris"])
                .into_iter()
                .find(|uri| !self.paths.iter().any(|prefix| covers_path(prefix, uri)));
            if let Some(uri) = other {
                let told = self.paths.join(" or ");
                return Some(format!(
                    "it takes the path {uri:?}, but the scope holds only what lies below {told}"
                ));
            }
        }
        None
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("everything");
        }
        let parts = [("labels", &self.labels), ("hosts", &self.hosts), ("paths", &self.paths)];
        let told = parts.iter().filter(|(_, list)| !list.is_empty());
        let told: Vec<String> = told.map(|(what, list)| format!("{what} {}", list.join(", "))).collect();
        f.write_str(&told.join("; "))
    }
}

fn texts<'v>(value: &'v Value, members: &[&str]) -> Vec<&'v str> {
    let mut found = Vec::new();
    for member in members.iter().filter_map(|member| value.get(member)) {
        match member {
            Value::Array(items) => found.extend(items.iter().filter_map(Value::as_str)),
            other => found.extend(other.as_str()),
        }
    }
    found
}

/// Whether every host that `host` takes is one that `own` takes.
fn covers_host(own: &str, host: &str) -> bool {
    let (own, host) = (own.to_ascii_lowercase(), host.to_ascii_lowercase());
    match own.strip_prefix('*') {
        // `*.example.com` holds `a.example.com`, `*.a.example.com` and itself.
        Some(below) => host.ends_with(below) && host.len() > below.len(),
        None => own == host,
    }
}

/// Whether every path that the pattern takes lies below the prefix.
fn covers_path(prefix: &str, uri: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    match uri.strip_prefix(prefix) {
        Some(rest) => prefix.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Scope;
    use crate::kind::Kind;

    fn scope(labels: &[&str], hosts: &[&str], paths: &[&str]) -> Scope {
        let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        Scope { labels: own(labels), hosts: own(hosts), paths: own(paths) }
    }

    #[test]
    fn what_lies_outside_is_told_with_its_reason() {
        let team = || scope(&["team=pay", "team=billing", "stage=prod"], &[], &[]);
        let host = || scope(&[], &["pay.example", "*.shop.example"], &[]);
        let path = || scope(&[], &[], &["/pay", "/shop/"]);
        let labels = |team: &str| json!({ "labels": { "team": team, "stage": "prod" } });
        let cases: Vec<(Scope, Kind, Value, Option<&str>)> = vec![
            (Scope::ALL, Kind::GlobalRule, json!({}), None),
            (team(), Kind::Upstream, labels("pay"), None),
            (team(), Kind::Upstream, labels("billing"), None),
            (team(), Kind::Upstream, labels("hr"), Some("team=pay or team=billing")),
            (team(), Kind::Upstream, json!({ "labels": { "team": "pay" } }), Some("stage=prod")),
            (team(), Kind::GlobalRule, labels("pay"), Some("met by every request")),
            (host(), Kind::Route, json!({ "host": "PAY.example", "uri": "/x" }), None),
            (host(), Kind::Route, json!({ "hosts": ["a.shop.example", "*.b.shop.example"] }), None),
            (host(), Kind::Route, json!({ "hosts": ["*.shop.example"] }), None),
            (host(), Kind::Route, json!({ "hosts": ["shop.example"] }), Some("\"shop.example\"")),
            (host(), Kind::Route, json!({ "hosts": ["pay.example", "*.example"] }), Some("\"*.example\"")),
            (host(), Kind::Route, json!({ "uri": "/x" }), Some("every host")),
            (host(), Kind::Service, json!({ "hosts": ["pay.example"] }), None),
            (host(), Kind::Service, json!({}), Some("only a label")),
            (host(), Kind::Ssl, json!({ "snis": ["pay.example", "x.example"] }), Some("\"x.example\"")),
            (host(), Kind::Upstream, json!({ "labels": { "a": "b" } }), Some("only a label")),
            (path(), Kind::Route, json!({ "uri": "/pay" }), None),
            (path(), Kind::Route, json!({ "uris": ["/pay/*", "/shop/a/:id"] }), None),
            (path(), Kind::Route, json!({ "uri": "/pay*" }), Some("\"/pay*\"")),
            (path(), Kind::Route, json!({ "uri": "/payroll" }), Some("below /pay")),
            (path(), Kind::Route, json!({ "uris": ["/pay/x", "/*"] }), Some("\"/*\"")),
            (path(), Kind::Ssl, json!({ "snis": ["pay.example"] }), Some("only a label")),
        ];
        for (scope, kind, value, wanted) in cases {
            let told = scope.misfit(kind, &value, None);
            match (&told, wanted) {
                (None, None) => {}
                (Some(told), Some(part)) => assert!(told.contains(part), "{part} is missing in {told}"),
                _ => panic!("{scope}, {kind} {value}: {told:?}"),
            }
        }
        let service = json!({ "hosts": ["pay.example"] });
        assert_eq!(host().misfit(Kind::Route, &json!({ "uri": "/x" }), Some(&service)), None);
        let both = scope(&["team=pay"], &["pay.example"], &[]);
        assert_eq!(both.misfit(Kind::Upstream, &json!({ "labels": { "team": "pay" } }), None), None);
        assert!(both.misfit(Kind::Route, &json!({ "labels": { "team": "pay" } }), None).is_some());
    }

    #[test]
    fn a_scope_that_nobody_can_mean_is_refused() {
        for (bad, part) in [
            (scope(&["team"], &[], &[]), "name=value"),
            (scope(&["=x"], &[], &[]), "name=value"),
            (scope(&[], &["*"], &[]), "no host"),
            (scope(&[], &["a:80"], &[]), "no host"),
            (scope(&[], &[], &["pay"]), "begins with /"),
            (scope(&[], &[], &["/pay/*"]), "no *"),
            (scope(&[], &[&"a".repeat(300)], &[]), "longer than 256"),
            (scope(&[], &["a"; 65], &[]), "at most 64"),
        ] {
            let told = bad.check().unwrap_err();
            assert!(told.contains(part), "{part} is missing in {told}");
        }
        assert_eq!(scope(&["a=b"], &["*.a.b"], &["/"]).check(), Ok(()));
        assert_eq!(scope(&["a=b"], &["*.a.b"], &["/x"]).to_string(), "labels a=b; hosts *.a.b; paths /x");
    }

    #[test]
    fn a_scope_is_read_as_it_is_written() {
        let text = r#"{"labels":["team=pay"],"hosts":[],"paths":["/pay"]}"#;
        let read: Scope = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(serde_json::from_str::<Scope>("{}").unwrap(), Scope::ALL);
        assert!(serde_json::from_str::<Scope>(r#"{"host":[]}"#).is_err());
    }
}
