//! What a schema admits and this version can't do yet.
//!
//! A condition that is stored and not looked at would let a route match too much, so such an object is refused with a sentence instead.

use serde_json::Value;

use crate::kind::Kind;

/// The ways of choosing a node.
const BALANCERS: [&str; 4] = ["roundrobin", "chash", "least_conn", "ewma"];

/// Where nodes may be discovered.
const REGISTRIES: [&str; 6] = ["dns", "consul", "consul_kv", "kubernetes", "nacos", "eureka"];

/// What of this resource isn't served by this version, as a sentence that names the field, the value and what is there instead.
#[must_use]
pub fn unsupported(kind: Kind, value: &Value) -> Option<String> {
    match kind {
        Kind::Route => {
            for (member, instead) in [("script", "use plugins"), ("script_id", "use plugins")] {
                if value.get(member).is_some() {
                    return Some(format!("`{member}` is not supported by this version of Usher: {instead}"));
                }
            }
            value.get("upstream").and_then(|below| upstream(below, "upstream."))
        }
        Kind::Service if value.get("script").is_some() => {
            Some("`script` is not supported by this version of Usher: use plugins".to_owned())
        }
        Kind::Service => value.get("upstream").and_then(|below| upstream(below, "upstream.")),
        Kind::Ssl => ssl(value),
        Kind::Upstream => upstream(value, ""),
        Kind::StreamRoute => value.get("upstream").and_then(|below| upstream(below, "upstream.")),
        _ => None,
    }
}

/// TLS below 1.2 is broken, and nothing here speaks it.
fn ssl(value: &Value) -> Option<String> {
    let protocols = value.get("ssl_protocols").and_then(Value::as_array);
    protocols.into_iter().flatten().any(|protocol| protocol == "TLSv1.1").then(|| {
        "`ssl_protocols` \"TLSv1.1\" is not supported by Usher: TLS 1.1 can be broken into; use \"TLSv1.2\", \"TLSv1.3\" or both".to_owned()
    })
}

fn upstream(value: &Value, prefix: &str) -> Option<String> {
    let text = |member: &str| value.get(member).and_then(Value::as_str);
    if let Some(scheme) = text("scheme")
        .filter(|scheme| !matches!(*scheme, "http" | "https" | "grpc" | "grpcs" | "tcp" | "tls" | "udp"))
    {
        return Some(format!(
            "`{prefix}scheme` \"{scheme}\" is not supported by this version of Usher: use \"http\", \"https\", \"grpc\" or \"grpcs\", and \"tcp\", \"tls\" or \"udp\" for stream routes"
        ));
    }
    if let Some(how) = text("type").filter(|how| !BALANCERS.contains(how)) {
        return Some(format!(
            "`{prefix}type` \"{how}\" is not known to Usher: use \"roundrobin\", \"chash\", \"least_conn\" or \"ewma\""
        ));
    }
    if let Some(kind) = text("discovery_type").filter(|kind| !REGISTRIES.contains(kind)) {
        return Some(format!(
            "`{prefix}discovery_type` \"{kind}\" is not supported by this version of Usher: use \"dns\", \"consul\", \"consul_kv\", \
             \"kubernetes\", \"nacos\" or \"eureka\", or list the `nodes`"
        ));
    }
    None
}
