//! Where an API is: the document's first server, or what somebody says instead.

use serde_json::{Value, json};

use super::{OpenApiError, Publish};

/// Where an API is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    scheme: &'static str,
    host: String,
    port: u16,
    /// The path that all its paths stand behind; empty, or without a slash at its end.
    pub(super) base: String,
}

impl Server {
    /// The upstream of it.
    pub(super) fn upstream(&self) -> Value {
        let bare = self.host.trim_matches(['[', ']']);
        let mut upstream = json!({ "type": "roundrobin", "nodes": { format!("{}:{}", self.host, self.port): 1 }, "scheme": self.scheme });
        // An API that is known by a name wants to be called by it.
        if bare.parse::<std::net::IpAddr>().is_err()
            && let Some(members) = upstream.as_object_mut()
        {
            members.insert("pass_host".to_owned(), "node".into());
        }
        upstream
    }
}

/// Where the document's API is.
///
/// # Errors
/// No absolute address of it is known.
pub(super) fn of(document: &Value, wish: &Publish) -> Result<Server, OpenApiError> {
    if let Some(server) = &wish.server {
        return parse(server).map_err(|reason| OpenApiError::new("server", reason));
    }
    if let Some(host) = document.get("host").and_then(Value::as_str) {
        let schemes = document.get("schemes").and_then(Value::as_array);
        let scheme = schemes.and_then(|schemes| schemes.first()?.as_str()).unwrap_or("https");
        let base = document.get("basePath").and_then(Value::as_str).unwrap_or_default();
        return parse(&format!("{scheme}://{host}{base}"))
            .map_err(|reason| OpenApiError::new("/host", reason));
    }
    let Some(first) = document.pointer("/servers/0") else {
        let reason = "the document names no server; say where the API is, such as http://127.0.0.1:3000";
        return Err(OpenApiError::new("/servers", reason));
    };
    let mut url = first.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (name, variable) in first.get("variables").and_then(Value::as_object).into_iter().flatten() {
        let default = variable.get("default").and_then(Value::as_str).unwrap_or_default();
        url = url.replace(&format!("{{{name}}}"), default);
    }
    parse(&url).map_err(|reason| OpenApiError::new("/servers/0/url", reason))
}

fn parse(url: &str) -> Result<Server, String> {
    let wrong = |what: &str| format!("{url:?} {what}; say where the API is, such as http://127.0.0.1:3000");
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
        _ => return Err(wrong("is no absolute http or https address")),
    };
    let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err("an address with a user or password in it is not taken; leave them out".to_owned());
    }
    if path.contains(['?', '#', '{', ' ']) {
        return Err(wrong("has a query, a fragment or a variable without a default"));
    }
    let usual = if scheme == "http" { 80 } else { 443 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, port.parse().map_err(|_| wrong("has no readable port"))?)
        }
        _ => (authority, usual),
    };
    let readable = |letter: char| letter.is_ascii_alphanumeric() || "-._[]:".contains(letter);
    if host.is_empty() || !host.chars().all(readable) {
        return Err(wrong("has no readable host"));
    }
    Ok(Server { scheme, host: host.to_ascii_lowercase(), port, base: path.trim_end_matches('/').to_owned() })
}
