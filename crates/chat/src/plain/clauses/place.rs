//! Which requests are taken, and where they go: paths, methods, hosts, nodes, upstreams, services.

use std::net::{IpAddr, Ipv6Addr};

use usher_model::kind::Kind;

use super::super::intent::{Backend, Node, Unknown, Wish};
use super::super::words::{Form, Word, Words};
use super::super::{kinds, numbers};
use super::{bad, name, series, take_if, unknown};

/// `for GET and POST /a and /b`, `methods GET and POST`.
pub(super) fn paths(words: &mut Words<'_>, wish: &mut Wish, kind: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    let former = probe;
    while probe.eat(
        "for|on|at|under|below|behind|matching|to|path|paths|uri|uris|everything|requests|request|method|methods|only|both|take|\
        takes|accept|accepts|answer",
    ) {}
    let methods = series(&mut probe, |words, _| kinds::method(words));
    probe.eat("requests|request|calls to|for|on?");
    let paths = series(&mut probe, |words, _| take_if(words, Word::is_path).map(|word| word.text.clone()));
    if paths.is_empty() && methods.is_empty() {
        return Ok(false);
    }
    if kind != Kind::Route {
        return Err(bad(probe.since(&former), "only routes have paths and methods"));
    }
    if !methods.is_empty() && !paths.is_empty() && !wish.paths.is_empty() {
        return Err(bad(probe.since(&former), "a sentence makes one route: say it in two"));
    }
    extend(&mut wish.methods, methods);
    extend(&mut wish.paths, paths);
    *words = probe;
    Ok(true)
}

fn extend(list: &mut Vec<String>, more: Vec<String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

/// `on host a.test and b.test`, `for a.test`.
pub(super) fn hosts(words: &mut Words<'_>, wish: &mut Wish, kind: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    let former = probe;
    let lead = probe.eat("for|on|at");
    let called = probe.eat("the? virtual? host|hosts|hostname|hostnames|domain|domains");
    probe.eat("name|names? is|are|to?");
    if !lead && !called {
        return Ok(false);
    }
    let host = |word: &Word| domain(&word.low) || (called && host_word(word));
    let hosts = series(&mut probe, |words, _| take_if(words, host).map(|word| word.low.clone()));
    if hosts.is_empty() {
        let reason = "a host is a domain such as a.example.com or *.example.com, localhost, or an address";
        return if called { Err(unknown(words, Some(reason))) } else { Ok(false) };
    }
    if !matches!(kind, Kind::Route | Kind::Service) {
        return Err(bad(probe.since(&former), "only routes and services have hosts"));
    }
    extend(&mut wish.hosts, hosts);
    *words = probe;
    Ok(true)
}

/// Whether a word behind `host` can be one: with a dot, `localhost`, `*`, an address, or anything in quotes.
fn host_word(word: &Word) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'*');
    let bare = word.low.trim_matches(['[', ']']);
    match word.form {
        Form::Comma | Form::Json => false,
        Form::Quoted => !word.low.is_empty() && word.low.bytes().all(fits),
        Form::Plain => {
            matches!(word.low.as_str(), "localhost" | "*")
                || bare.parse::<IpAddr>().is_ok()
                || (word.low.contains('.') && word.low.bytes().all(fits))
        }
    }
}

/// Whether it looks like a domain: letters, digits, dots and hyphens, with a dot, and ending in letters.
pub(crate) fn domain(low: &str) -> bool {
    let fits = low.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'*'));
    let last = low.rsplit('.').next().unwrap_or_default();
    low == "localhost"
        || (fits
            && low.contains('.')
            && last.len() >= 2
            && last.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// An address or network of clients.
pub(crate) fn address(low: &str) -> bool {
    match low.split_once('/') {
        Some((address, bits)) => {
            let most = if address.contains(':') { 128 } else { 32 };
            address.parse::<IpAddr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
        }
        None => low.parse::<IpAddr>().is_ok(),
    }
}

/// Addresses and networks, one after the other.
pub(crate) fn addresses(words: &mut Words<'_>) -> Vec<String> {
    series(words, |words, _| take_if(words, |word| address(&word.low)).map(|word| word.low.clone()))
}

/// `to http://127.0.0.1:3000 and http://127.0.0.1:3001 weight 2`, `to the conference API`, `using upstream x`, `in service x`.
pub(super) fn backend(words: &mut Words<'_>, wish: &mut Wish, kind: Kind) -> Result<bool, Unknown> {
    if kind == Kind::Upstream || kind == Kind::Route || kind == Kind::Service {
        let mut probe = *words;
        let lead = lead(&mut probe, kind);
        let nodes_said = probe.eat("the? node|nodes|server|servers");
        let nodes = nodes(&mut probe, lead || nodes_said)?;
        if !nodes.is_empty() {
            return set(words, probe, wish, Backend::Nodes(nodes));
        }
        if nodes_said {
            return Err(unknown(words, Some("a node is an address such as http://127.0.0.1:3000")));
        }
    }
    if kind != Kind::Route && kind != Kind::Service {
        return Ok(false);
    }
    let mut probe = *words;
    let lead = lead(&mut probe, kind) || probe.eat("in|of");
    probe.eat("the|an|a");
    if probe.eat("service") {
        let service = name(&mut probe).ok_or_else(|| unknown(words, Some("which service is missing")))?;
        wish.service = Some(service);
        *words = probe;
        return Ok(true);
    }
    let said = probe.eat("upstream|backend");
    if !lead && !said {
        return Ok(false);
    }
    let Some(mut called) = name(&mut probe) else { return Ok(false) };
    for ending in [" upstream", " backend"] {
        called = called.strip_suffix(ending).map(str::to_owned).unwrap_or(called);
    }
    set(words, probe, wish, Backend::Named(called))
}

fn set<'a>(
    words: &mut Words<'a>,
    behind: Words<'a>,
    wish: &mut Wish,
    backend: Backend,
) -> Result<bool, Unknown> {
    match (&mut wish.backend, backend) {
        (none @ None, backend) => *none = Some(backend),
        (Some(Backend::Nodes(nodes)), Backend::Nodes(more)) => nodes.extend(more),
        _ => return Err(bad(behind.since(words), "it can go to one upstream only")),
    }
    *words = behind;
    Ok(true)
}

/// The nodes or the upstream named here, without a word that leads to them.
pub(crate) fn backend_here(words: &mut Words<'_>) -> Result<Option<Backend>, Unknown> {
    let nodes = nodes(words, false)?;
    if !nodes.is_empty() {
        return Ok(Some(Backend::Nodes(nodes)));
    }
    words.eat("the|an|a");
    words.eat("upstream|backend");
    Ok(name(words).map(Backend::Named))
}

fn lead(words: &mut Words<'_>, kind: Kind) -> bool {
    words.eat("using|use|uses|via|through")
        || words.eat("backed|served by")
        || words.eat("in front of")
        || (kind == Kind::Upstream && words.eat("of|at|for|on"))
        || words.eat("forwarded|forwarding|forwards|proxied|proxying|sent|goes|going|pointing|points|point|routed? to|towards")
}

fn nodes(words: &mut Words<'_>, said: bool) -> Result<Vec<Node>, Unknown> {
    let mut nodes = Vec::new();
    loop {
        let mut probe = *words;
        if !nodes.is_empty() {
            probe.eat(",? and|,?");
        }
        let found = match node(&mut probe)? {
            // Behind `to` a bare domain is an address; elsewhere it is a host that requests ask for.
            None if said && nodes.is_empty() => bare(&mut probe),
            found => found,
        };
        let Some(mut found) = found else { return Ok(nodes) };
        found.weight = weight(&mut probe);
        nodes.push(found);
        *words = probe;
    }
}

fn weight(words: &mut Words<'_>) -> Option<u64> {
    let mut probe = *words;
    if !probe.eat("with|at? a? weight of?") {
        return None;
    }
    let weight = numbers::number(&mut probe)?;
    *words = probe;
    Some(weight)
}

/// A domain without scheme and port.
fn bare(words: &mut Words<'_>) -> Option<Node> {
    let word = words
        .peek()
        .filter(|word| word.form != Form::Json && domain(&word.low) && !word.low.contains('*'))?;
    words.take();
    Some(Node {
        address: format!("{}:80", word.low),
        https: false,
        named: word.low != "localhost",
        weight: None,
    })
}

/// The node that is written here: an address with a scheme or a port.
pub(crate) fn node(words: &mut Words<'_>) -> Result<Option<Node>, Unknown> {
    let Some(word) = words.peek().filter(|word| !matches!(word.form, Form::Json | Form::Comma)) else {
        return Ok(None);
    };
    let (https, rest, schemed) = match word.low.split_once("://") {
        Some(("http", rest)) => (false, rest, true),
        Some(("https", rest)) => (true, rest, true),
        Some(_) => return Err(unknown(words, Some("nodes are reached by http or https"))),
        None => (false, word.low.as_str(), false),
    };
    if rest.contains('@') && schemed {
        return Err(bad(&[], "an address of a node has no user or password"));
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let Some((host, port)) = authority_parts(authority) else { return Ok(None) };
    if !schemed && (port.is_none() || !path.is_empty()) {
        return Ok(None);
    }
    if !path.is_empty() {
        let reason = "a node has no path; leave it out, and say for example `rewrite /api/* to /base/*`";
        return Err(unknown(words, Some(reason)));
    }
    let port = port.unwrap_or(if https { 443 } else { 80 });
    let named = host.parse::<IpAddr>().is_err() && !host.starts_with('[') && host != "localhost";
    words.take();
    Ok(Some(Node { address: format!("{host}:{port}"), https, named, weight: None }))
}

/// Host and port of an authority, if it can be one.
fn authority_parts(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(inside) => {
            let (address, behind) = inside.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (authority.get(..address.len() + 2)?, behind.strip_prefix(':'))
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let fits = host.starts_with('[')
        || (!host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')));
    if !fits {
        return None;
    }
    match port {
        None => Some((host, None)),
        Some(port) => port.parse().ok().filter(|port| *port > 0).map(|port| (host, Some(port))),
    }
}

/// `for consumer jack`, of a credential.
pub(super) fn owner(words: &mut Words<'_>, wish: &mut Wish, kind: Kind) -> Result<bool, Unknown> {
    if kind != Kind::Credential {
        return Ok(false);
    }
    let mut probe = *words;
    if !probe.eat("for|of|to the? consumer?") && !probe.eat("consumer") {
        return Ok(false);
    }
    wish.consumer = Some(name(&mut probe).ok_or_else(|| unknown(words, Some("which consumer is missing")))?);
    *words = probe;
    Ok(true)
}
