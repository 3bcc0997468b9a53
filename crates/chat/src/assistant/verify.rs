//! Verifying: a real request through the gateway to each route that a plan made or changed, and an honest word on the answer.

use serde_json::{Value, json};
use usher_model::kind::{Key, Kind};

use super::turn::Did;
use crate::client::{ClientError, Connection};

/// Routes that are verified after one plan.
const MOST: usize = 3;

/// A request that only reads, for a route.
#[derive(Debug, PartialEq, Eq)]
struct Sample {
    method: &'static str,
    path: String,
    host: Option<String>,
}

/// What was seen after a plan was applied.
pub(super) async fn seen(connection: &Connection, applied: &[(Did, Key)]) -> Result<String, ClientError> {
    let mut good = Vec::new();
    let mut other = Vec::new();
    let routes = || applied.iter().filter(|(_, key)| key.kind == Kind::Route);
    for (did, key) in routes().take(MOST) {
        if *did == Did::Deleted {
            good.push(format!("{key} is gone"));
            continue;
        }
        match verified(connection, key).await? {
            (true, sentence) => good.push(sentence),
            (false, sentence) => other.push(sentence),
        }
    }
    if routes().count() > MOST {
        other.push(format!("only {MOST} of {} routes were asked", routes().count()));
    }
    let gone = applied.iter().filter(|(did, key)| *did == Did::Deleted && key.kind != Kind::Route);
    good.extend(gone.take(MOST).map(|(_, key)| format!("{key} is gone")));
    let mut text = "Done".to_owned();
    if !good.is_empty() {
        text.push_str(". ");
        text.push_str(&capital(&good.join("; ")));
    }
    if !other.is_empty() {
        text.push_str(", but ");
        text.push_str(&other.join("; "));
    }
    text.push('.');
    Ok(text)
}

/// The same with a capital letter at its beginning.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + letters.as_str()
}

/// Whether a route answers as one would wish, and the sentence about it.
async fn verified(connection: &Connection, key: &Key) -> Result<(bool, String), ClientError> {
    let route = match connection.call("gateway_get", json!({ "kind": "route", "id": key.id })).await {
        Ok(reply) => reply.structured.get("value").cloned().unwrap_or_default(),
        Err(ClientError::Tool { .. }) => return Ok((false, format!("{key} could not be read back"))),
        Err(error) => return Err(error),
    };
    let sample = match sample(&route) {
        Ok(sample) => sample,
        Err(reason) => return Ok((true, format!("{key} was not asked: {reason}"))),
    };
    let asked = match &sample.host {
        Some(host) => format!("{} {} for host {host}", sample.method, sample.path),
        None => format!("{} {}", sample.method, sample.path),
    };
    let arguments = json!({ "method": sample.method, "path": sample.path, "host": sample.host, "headers": null, "body": null });
    let probe = match connection.call("gateway_probe", arguments).await {
        Ok(reply) => reply.structured,
        Err(ClientError::Tool { text, .. }) => {
            let reason = text.lines().next().unwrap_or_default();
            return Ok((false, format!("{asked} could not be verified: {reason}")));
        }
        Err(error) => return Err(error),
    };
    let status = probe.get("status").and_then(Value::as_u64).unwrap_or_default();
    let taken = probe.get("route").and_then(Value::as_str);
    // The tool names a route by its id, with its name in brackets behind.
    let own = taken.is_some_and(|taken| taken == key.id || taken.starts_with(&format!("{} (", key.id)));
    let reason = match taken {
        Some(other) if !own => Some(format!("it is taken by route {other}")),
        None => Some("no route takes it".to_owned()),
        Some(_) => reason(status, &route).map(str::to_owned),
    };
    let sentence = match reason {
        Some(reason) => format!("{asked} answers {status}: {reason}"),
        None => format!("{asked} answers {status}"),
    };
    Ok((own && status < 400, sentence))
}

/// What a status that isn't wished for says, as far as the route tells.
fn reason(status: u64, route: &Value) -> Option<&'static str> {
    let has = |plugin: &str| route.pointer(&format!("/plugins/{plugin}")).is_some();
    Some(match status {
        401 if has("key-auth") => "it asks for a key, and none was sent",
        403 if has("ip-restriction") => "this address may not call it",
        404 => "the backend does not know this path; another one may work",
        429 => "the limit is used up",
        502 | 503 => "the backend can not be reached",
        504 => "the backend did not answer in time",
        500.. => "it failed",
        _ => return None,
    })
}

/// A request that the route takes and that only reads.
fn sample(route: &Value) -> Result<Sample, &'static str> {
    if route.get("status") == Some(&json!(0)) {
        return Err("it is out of service");
    }
    let texts = |one: &str, several: &str| -> Vec<String> {
        let one = route.get(one).and_then(Value::as_str).map(str::to_owned);
        let several = route.get(several).and_then(Value::as_array).cloned().unwrap_or_default();
        one.into_iter().chain(several.iter().filter_map(Value::as_str).map(str::to_owned)).collect()
    };
    let methods = texts("", "methods");
    let safe = ["GET", "HEAD", "OPTIONS"];
    let method =
        safe.into_iter().find(|safe| methods.is_empty() || methods.iter().any(|method| method == safe));
    let method = method.ok_or("none of its methods only reads")?;
    let path = texts("uri", "uris").into_iter().next().ok_or("it has no path")?;
    let host = texts("host", "hosts").into_iter().next().map(|host| host.replacen('*', "www", 1));
    Ok(Sample { method, path: sensible(&path), host })
}

/// A path that a pattern takes: `/speaker/*` is asked as `/speaker/1`, `/*` as `/`.
fn sensible(pattern: &str) -> String {
    match pattern.strip_suffix('*') {
        Some("/") => "/".to_owned(),
        Some(prefix) => format!("{prefix}1"),
        None => pattern.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Sample, sample};

    #[test]
    fn a_request_is_made_that_the_route_takes_and_that_only_reads() {
        let made = |method, path: &str, host: Option<&str>| {
            Ok(Sample { method, path: path.to_owned(), host: host.map(str::to_owned) })
        };
        for (route, wanted) in [
            (json!({ "uri": "/speaker/*", "methods": ["GET"] }), made("GET", "/speaker/1", None)),
            (json!({ "uri": "/*" }), made("GET", "/", None)),
            (
                json!({ "uris": ["/a", "/b"], "hosts": ["*.a.test", "b.test"] }),
                made("GET", "/a", Some("www.a.test")),
            ),
            (json!({ "uri": "/x", "methods": ["POST", "HEAD"] }), made("HEAD", "/x", None)),
            (json!({ "uri": "/x", "methods": ["POST"] }), Err("none of its methods only reads")),
            (json!({ "uri": "/x", "status": 0 }), Err("it is out of service")),
        ] {
            assert_eq!(sample(&route), wanted, "{route}");
        }
    }
}
