//! `referer-restriction` admits or refuses by the site that a browser says it comes from.
//!
//! Only the host of `Referer` counts. Anyone who isn't a browser can write anything there: it keeps pages from embedding, not attackers out.
//!
//! Example: `{"whitelist": ["shop.example", "*.shop.example"], "bypass_missing": true}`

use std::collections::HashSet;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::schema::one_of_required;

/// `referer-restriction`.
pub(crate) static PLUGIN: Spec = Spec::of::<RefererRestriction>();

/// Admits or refuses by the host in `Referer`; exactly one of the two lists has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = one_of_required(&[&["whitelist"], &["blacklist"]]))]
struct Config {
    /// Lets requests pass that have no `Referer`, or one that can't be read.
    #[serde(default)]
    bypass_missing: bool,
    /// Hosts that may be come from; `*.example.com` is every host below `example.com`.
    #[schemars(length(min = 1))]
    whitelist: Option<Vec<Host>>,
    /// Hosts that may not be come from, written the same way.
    #[schemars(length(min = 1))]
    blacklist: Option<Vec<Host>>,
    /// What a refused client reads, 1 to 1024 characters.
    #[serde(default = "refusal")]
    #[schemars(length(min = 1, max = 1024))]
    message: String,
}

fn refusal() -> String {
    "Your referer host is not allowed".to_owned()
}

/// A host, with a star before it for all that end so.
#[derive(Deserialize)]
struct Host(String);

impl JsonSchema for Host {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Host".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\*$|^\\*?[0-9a-zA-Z-._\\[\\]:]+$" })
    }
}

struct RefererRestriction {
    hosts: HashSet<String>,
    endings: Vec<String>,
    /// Whether those in the list are the ones that may be come from.
    admits_listed: bool,
    bypass_missing: bool,
    refusal: FixedReply,
}

impl Plugin for RefererRestriction {
    const NAME: &'static str = "referer-restriction";
    const PRIORITY: i32 = 2990;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Now(Self::restrict)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let admits_listed = config.whitelist.is_some();
        let list = config.whitelist.or(config.blacklist).unwrap_or_default();
        let lower = list.iter().map(|host| host.0.to_ascii_lowercase());
        let (endings, hosts): (Vec<String>, Vec<String>) = lower.partition(|host| host.starts_with('*'));
        Ok(Self {
            hosts: hosts.into_iter().collect(),
            endings: endings.into_iter().map(|ending| ending.trim_start_matches('*').to_owned()).collect(),
            admits_listed,
            bypass_missing: config.bypass_missing,
            refusal: Reply::message(403, &config.message).fixed(),
        })
    }
}

impl RefererRestriction {
    fn restrict(&self, exchange: &mut Exchange) -> Flow {
        let mut referers = exchange.request.head.get_all("referer");
        let host = match (referers.next(), referers.next()) {
            (Some(referer), None) => host_of(referer),
            // Of two nobody knows which one is meant.
            _ => None,
        };
        let admitted = match host {
            None => self.bypass_missing,
            Some(host) => self.lists(&host) == self.admits_listed,
        };
        if admitted { Flow::Continue } else { self.refusal.reply().into() }
    }

    fn lists(&self, host: &str) -> bool {
        self.hosts.contains(host) || self.endings.iter().any(|ending| host.ends_with(ending))
    }
}

/// The host of an http(s) URL, in lower case. What stands before an `@` is no host.
fn host_of(referer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(referer).ok()?.trim().to_ascii_lowercase();
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let host = match place.strip_prefix('[') {
        Some(inner) => inner.split_once(']').map(|(host, _)| format!("[{host}]"))?,
        None => place.split(':').next()?.trim_end_matches('.').to_owned(),
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_pipeline::harness::{harness, try_harness};

    use super::PLUGIN;

    #[test]
    fn only_the_host_counts() {
        let list = json!(["shop.test", "*.cdn.test", "[::1]"]);
        for (referer, listed) in [
            ("https://shop.test/a?b", true),
            ("HTTP://SHOP.test:8080", true),
            ("https://shop.test./", true),
            ("https://a.cdn.test/", true),
            ("http://[::1]:80/", true),
            ("https://cdn.test/", false),
            ("https://evilcdn.test/", false),
            ("https://shop.test.evil.test/", false),
            ("https://shop.test@evil.test/", false),
            ("https://evil.test/?https://shop.test/", false),
            ("https://evil.test\\@shop.test/", false),
        ] {
            let status = |member: &str| {
                harness(&PLUGIN, json!({ member: list }))
                    .send("GET", "/", &[("Referer", referer)], "")
                    .status()
            };
            let wanted = if listed { (200, 403) } else { (403, 200) };
            assert_eq!((status("whitelist"), status("blacklist")), wanted, "{referer}");
        }
        harness(&PLUGIN, json!({ "whitelist": ["*"] }))
            .send("GET", "/", &[("Referer", "http://x")], "")
            .expect_status(200);
    }

    #[test]
    fn a_referer_that_is_none_passes_only_where_told() {
        let two = vec![("Referer", "http://a.test"), ("Referer", "http://b.test")];
        for fields in [
            vec![],
            vec![("Referer", "a.test")],
            vec![("Referer", "javascript:x")],
            vec![("Referer", "http://")],
            two,
        ] {
            for (body, wanted) in [
                (json!({ "whitelist": ["a.test", "b.test"] }), 403),
                (json!({ "blacklist": ["c.test"] }), 403),
                (json!({ "blacklist": ["a.test"], "bypass_missing": true }), 200),
            ] {
                let outcome = harness(&PLUGIN, body.clone()).send("GET", "/", &fields, "");
                assert_eq!(outcome.status(), wanted, "{body} {fields:?}");
                if wanted == 403 {
                    assert_eq!(outcome.text(), "{\"message\":\"Your referer host is not allowed\"}\n");
                }
            }
        }
    }

    #[test]
    fn bodies_that_can_not_work_are_refused() {
        for body in [
            json!({}),
            json!({ "whitelist": ["a"], "blacklist": ["b"] }),
            json!({ "whitelist": ["a b"] }),
            json!({ "whitelist": [] }),
            json!({ "whitelist": ["a"], "message": "" }),
        ] {
            assert!(try_harness(&PLUGIN, body.clone()).is_err(), "{body}");
        }
    }
}
