//! Plugins as people ask for them: limits, keys, CORS, addresses, redirects, rewrites; and any plugin with its settings in JSON.

use serde_json::{Map, Value, json};
use usher_model::kind::Kind;

use super::super::intent::{Unknown, Wish};
use super::super::words::{Form, Word, Words};
use super::super::{kinds, numbers};
use super::{addresses as addresses_of, bad, series, take_if, unknown};

/// Puts a plugin into the wish; two of the same name only where they say different things.
fn add(wish: &mut Wish, name: &str, body: Value, part: &[Word]) -> Result<bool, Unknown> {
    match wish.plugins.iter_mut().find(|(known, _)| known == name) {
        None => wish.plugins.push((name.to_owned(), body)),
        Some((_, Value::Object(members))) if name == "proxy-rewrite" => {
            let more = body.as_object().cloned().unwrap_or_default();
            if more.keys().any(|key| members.contains_key(key)) {
                return Err(bad(part, "it says the same thing twice"));
            }
            members.extend(more);
        }
        // `require a key` behind `with key auth` adds nothing.
        Some((_, known)) if *known == body || body == json!({}) => {}
        Some(_) => return Err(bad(part, &format!("{name} can be set once only"))),
    }
    Ok(true)
}

/// `ten requests a minute per client`, `limited to 5 per second`, `limit each client to 100/h`.
pub(super) fn limit(words: &mut Words<'_>, wish: &mut Wish, kind: Kind) -> Result<bool, Unknown> {
    const LIMIT: &str =
        "a|the? rate? limit|limits|limited|limiting|rate-limit|rate-limited|throttle|throttled|cap|capped";
    let mut probe = *words;
    let former = probe;
    let mut led = probe;
    if led.eat("with|having|plus") && led.sees(LIMIT) {
        probe = led;
    }
    let called = probe.eat(LIMIT);
    let mut each = None;
    if called {
        let mut whom = probe;
        if whom.eat("it|requests? each|every|any|per") {
            each = numbers::who(&mut whom);
            if each.is_some() {
                probe = whom;
            }
        }
        probe.eat("it|requests|this|that?");
        probe.eat("of|to|at|by|is");
    }
    while probe.eat("at most")
        || probe.eat("no more than")
        || probe.eat("up to")
        || probe.eat("allow|allows|allowing|accept|accepting|admit|max|maximum|only|just|of|it")
    {}
    match numbers::rate(&mut probe) {
        Some(mut rate) => {
            // A consumer's own limit counts the consumer, wherever it calls from.
            let own = (kind == Kind::Consumer).then_some(numbers::Per::Consumer);
            rate.per = each.or(rate.per);
            wish.counts_unsaid = rate.per.is_none();
            rate.per = rate.per.or(own);
            add(wish, "limit-count", rate.body(), probe.since(&former))?;
            *words = probe;
            Ok(true)
        }
        None if called => Err(unknown(
            words,
            Some("a limit is a number and a time, such as 10 requests a minute per client"),
        )),
        None => Ok(false),
    }
}

/// Words before a key that clients have to send.
const ASKS: &str = "require|requires|requiring|need|needs|needing|demand|demanding|use|using|ask|asks|for|protected|secured|by|with|\
behind|a|an|the|valid|enable|clients|to|send|have";

/// `with key auth`, `require an API key in header X-Key`.
pub(super) fn key_auth(words: &mut Words<'_>, wish: &mut Wish, _: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    let former = probe;
    while probe.eat(ASKS) {}
    if kinds::plugin(&mut probe).as_deref() != Some("key-auth") {
        return Ok(false);
    }
    let mut body = Map::new();
    let mut header = probe;
    if header.eat("in|from the? header")
        && let Some(word) = header.take()
    {
        body.insert("header".to_owned(), word.text.clone().into());
        probe = header;
    }
    add(wish, "key-auth", Value::Object(body), probe.since(&former))?;
    *words = probe;
    Ok(true)
}

/// `with cors`, `allow cors from https://app.example.com and https://b.test`.
pub(super) fn cors(words: &mut Words<'_>, wish: &mut Wish, _: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    let former = probe;
    probe.eat("enable|allow|allowing|add|with");
    if !probe.eat("cors") && !probe.eat("cross-origin requests|access|calls?") {
        return Ok(false);
    }
    let mut origins = probe;
    origins.eat("for|from|to the? origin|origins?");
    let origin = |word: &Word| word.low.contains("://");
    let listed =
        series(&mut origins, |words, _| take_if(words, origin).map(|word| word.low.trim_end_matches('/')));
    let mut body = Map::new();
    if !listed.is_empty() {
        body.insert("allow_origins".to_owned(), listed.join(",").into());
        probe = origins;
    }
    add(wish, "cors", Value::Object(body), probe.since(&former))?;
    *words = probe;
    Ok(true)
}

/// Words for a list of those who may not come, for one of those who may, and between them and the addresses.
const DENIES: &str =
    "deny|denying|denies|block|blocking|blocks|refuse|refusing|reject|rejecting|ban|forbid|blacklist";
const ADMITS: &str = "allow|allowing|allows|admit|admitting|permit|only|restricted|restrict|limited|accessible|reachable|whitelist|just";
const WHOSE: &str = "to|from|for|requests|request|clients|client|the|ip|ips|address|addresses|network|networks|traffic|range|ranges|access|it";

/// `allow only 10.0.0.0/8 and 127.0.0.1`, `deny 1.2.3.4`, `only from 10.0.0.0/8`.
pub(super) fn addresses(words: &mut Words<'_>, wish: &mut Wish, _: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    let former = probe;
    let denied = probe.eat(DENIES);
    let mut lead = denied;
    while probe.eat(ADMITS) {
        lead = true;
    }
    let from = probe.eat("from");
    while probe.eat(WHOSE) {}
    let listed = addresses_of(&mut probe);
    if listed.is_empty() {
        return Ok(false);
    }
    // Only a word such as `allow`, `deny` or `only` says which way a list works.
    if !(lead || (from && probe.eat("only"))) {
        return Ok(false);
    }
    probe.eat("only");
    let list = if denied { "blacklist" } else { "whitelist" };
    let mut body = Map::new();
    body.insert(list.to_owned(), json!(listed));
    add(wish, "ip-restriction", Value::Object(body), probe.since(&former))?;
    *words = probe;
    Ok(true)
}

/// `strip /api`, `without the prefix /api`, `strip the prefix`.
pub(super) fn strip(words: &mut Words<'_>, wish: &mut Wish, _: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    let former = probe;
    if !probe.eat("strip|strips|stripping|without|remove|removing|removes|drop|dropping|cut|cutting off?") {
        return Ok(false);
    }
    let said = probe.eat("the|its? path? prefix");
    let Some(path) = probe.peek().filter(|word| word.is_path()) else {
        if !said {
            return Ok(false);
        }
        wish.strips_prefix = true;
        *words = probe;
        return Ok(true);
    };
    probe.take();
    probe.eat("prefix");
    probe.eat("from the? path|paths|uri");
    let pattern =
        strip_pattern(&path.text).ok_or_else(|| unknown(words, Some("there is nothing to strip")))?;
    add(wish, "proxy-rewrite", json!({ "regex_uri": pattern }), probe.since(&former))?;
    *words = probe;
    Ok(true)
}

/// The pair of `regex_uri` that takes a prefix off.
pub(crate) fn strip_pattern(prefix: &str) -> Option<[String; 2]> {
    let prefix = prefix.trim_end_matches('*').trim_end_matches('/');
    (!prefix.is_empty()).then(|| [format!("^{}/(.*)", escaped(prefix)), "/$1".to_owned()])
}

/// A path as a regular expression that means itself.
fn escaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for letter in path.chars() {
        if matches!(
            letter,
            '.' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' | '\\' | '*'
        ) {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

/// The pair of `regex_uri` that puts one prefix in place of another.
fn moved(from: &str, to: &str) -> Option<[String; 2]> {
    let (from, to) = (from.strip_suffix('*')?, to.strip_suffix('*')?);
    Some([format!("^{}(.*)", escaped(from)), format!("{}$1", to.replace('$', "$$"))])
}

/// `rewrite to /new`, `rewrite /api/* to /v2/*`, `rewrite the host to backend.test`.
pub(super) fn rewrite(words: &mut Words<'_>, wish: &mut Wish, _: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    let former = probe;
    if !probe.eat("rewrite|rewrites|rewriting|rewritten") {
        return Ok(false);
    }
    if probe.eat("the? host to|as|with") {
        let host = probe.take().ok_or_else(|| unknown(words, Some("which host is missing")))?;
        add(wish, "proxy-rewrite", json!({ "host": host.low }), probe.since(&former))?;
        *words = probe;
        return Ok(true);
    }
    probe.eat("it|them|the|its? path|paths|uri|url?");
    let from = probe.peek().filter(|word| word.is_path()).inspect(|_| {
        probe.take();
    });
    probe.eat("to|as|into|with");
    let to = probe.take().filter(|word| word.is_path());
    let to = to.ok_or_else(|| unknown(words, Some("say for example `rewrite /api/* to /v2/*`")))?;
    let body = match from {
        None if to.text.contains('*') => {
            return Err(unknown(words, Some("say which path it replaces: `rewrite /api/* to /v2/*`")));
        }
        None => json!({ "uri": to.text }),
        Some(from) => match moved(&from.text, &to.text) {
            Some(pair) => json!({ "regex_uri": pair }),
            None if from.text.contains('*') || to.text.contains('*') => {
                return Err(unknown(words, Some("both paths have to end in `*`, or none")));
            }
            None => {
                json!({ "regex_uri": [format!("^{}$", escaped(&from.text)), to.text.replace('$', "$$")] })
            }
        },
    };
    add(wish, "proxy-rewrite", body, probe.since(&former))?;
    *words = probe;
    Ok(true)
}

/// `redirect to /new permanently`, `redirect to https`.
pub(super) fn redirect(words: &mut Words<'_>, wish: &mut Wish, _: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    if !probe.eat("redirect|redirects|redirecting|redirected") {
        return Ok(false);
    }
    redirect_to(&mut probe, wish)?;
    *words = probe;
    Ok(true)
}

/// What stands behind `redirect`.
pub(crate) fn redirect_to(words: &mut Words<'_>, wish: &mut Wish) -> Result<bool, Unknown> {
    let mut probe = *words;
    let former = probe;
    probe.eat("it|them|requests|clients|http");
    let mut code = kind_of_redirect(&mut probe);
    if !probe.eat("to") {
        return Err(unknown(words, Some("say where to, such as `redirect to https` or `redirect to /new`")));
    }
    let to = probe.take().filter(|word| word.form != Form::Comma);
    let to = to.ok_or_else(|| unknown(words, Some("where to is missing")))?;
    code = kind_of_redirect(&mut probe).or(code);
    if probe.eat("with|by? status|code") || probe.sees("with 301|302|303|307|308") {
        probe.eat("with|code");
        code = numbers::number(&mut probe).or(code);
    }
    let mut body = Map::new();
    match (to.low.as_str(), wish.paths.as_slice()) {
        ("https", _) => {
            body.insert("http_to_https".to_owned(), true.into());
        }
        (_, [path]) if moved(path, &to.text).is_some() => {
            body.insert("regex_uri".to_owned(), json!(moved(path, &to.text)));
        }
        (low, _) if (low.starts_with('/') || low.contains("://")) && !low.contains('*') => {
            body.insert("uri".to_owned(), to.text.clone().into());
        }
        _ => {
            let reason =
                "a redirect goes to a path, an address or `https`; with `*` both sides have it at their end";
            return Err(unknown(words, Some(reason)));
        }
    }
    if let Some(code) = code {
        body.insert("ret_code".to_owned(), code.into());
    }
    add(wish, "redirect", Value::Object(body), probe.since(&former))?;
    *words = probe;
    Ok(true)
}

fn kind_of_redirect(words: &mut Words<'_>) -> Option<u64> {
    if words.eat("permanently") {
        Some(301)
    } else if words.eat("temporarily") {
        Some(302)
    } else {
        None
    }
}

/// Plugins that mean something without settings.
const BARE: [&str; 4] = ["key-auth", "cors", "request-id", "prometheus"];

/// `with request ids`, `with metrics`, `with plugin proxy-cache {...}`.
pub(super) fn named(words: &mut Words<'_>, wish: &mut Wish, kind: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    let former = probe;
    while probe.eat("with|a|an|the|add|adding|enable|use|using") {}
    let explicit = probe.sees("plugin");
    let Some(name) = kinds::plugin(&mut probe) else { return Ok(false) };
    let body = match probe.peek().filter(|word| word.form == Form::Json) {
        Some(word) => {
            probe.take();
            serde_json::from_str(&word.text).unwrap_or_default()
        }
        // A key to come in with has its own clause, which reads the header's name too.
        None if name == "key-auth" && !explicit => return Ok(false),
        None if BARE.contains(&name.as_str()) => json!({}),
        None => {
            let reason = format!("{name} needs settings: {}", example(&name));
            return Err(bad(probe.since(&former), &reason));
        }
    };
    if kind == Kind::Upstream {
        return Err(bad(probe.since(&former), "upstreams have no plugins; routes and services have"));
    }
    add(wish, &name, body, probe.since(&former))?;
    *words = probe;
    Ok(true)
}

fn example(name: &str) -> String {
    match name {
        "limit-count" => "say for example `10 requests a minute per client`".to_owned(),
        "ip-restriction" => "say for example `allow only 10.0.0.0/8`".to_owned(),
        "redirect" => "say for example `redirect to https`".to_owned(),
        "proxy-rewrite" => "say for example `strip /api`".to_owned(),
        other => format!("write them behind it as JSON, `plugin {other} {{...}}`; `help {other}` shows them"),
    }
}
