//! `apisix.proxy_mode` and `apisix.stream_proxy`: where connections and datagrams that aren't HTTP come in.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use usher_proxy::options::StreamListen;

use super::Settings;
use super::read::{Document, only_members, port};

/// Reads both. Listeners that the file names are on where `proxy_mode` asks for streams, as in APISIX.
///
/// # Errors
/// The setting, its value and what is allowed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    let streams = match file.text("apisix.proxy_mode")? {
        None | Some("http") => false,
        Some("http&stream") => true,
        Some("stream") => {
            settings.proxy.clear();
            settings.tls.listen.clear();
            settings.behind_balancer = usher_proxy::options::BehindBalancer::default();
            true
        }
        Some(other) => {
            return Err(format!(
                "apisix.proxy_mode: {other} is not known; write http, stream or http&stream"
            ));
        }
    };
    settings.admin_api.form.streams = streams;
    let place = &mut settings.streams;
    for item in items(file, "apisix.stream_proxy.tcp")? {
        place.tcp.push(tcp(item)?);
    }
    for item in items(file, "apisix.stream_proxy.udp")? {
        place.udp.push(address("apisix.stream_proxy.udp", item)?);
    }
    place.proxy_protocol = file.truth("apisix.proxy_protocol.enable_tcp_pp")?.unwrap_or(false);
    place.proxy_protocol_to_upstreams =
        file.truth("apisix.proxy_protocol.enable_tcp_pp_to_upstream")?.unwrap_or(false);
    let none = place.tcp.is_empty() && place.udp.is_empty();
    if streams && none {
        settings.warnings.push(
            "apisix.proxy_mode asks for streams, but neither apisix.stream_proxy.tcp nor apisix.stream_proxy.udp names a listener: no connection can \
             come in"
                .to_owned(),
        );
    } else if !streams && !none {
        settings.warnings.push(
            "apisix.stream_proxy does nothing unless apisix.proxy_mode is stream or http&stream".to_owned(),
        );
        place.tcp.clear();
        place.udp.clear();
    }
    Ok(())
}

fn items<'a>(file: &Document<'a>, name: &str) -> Result<&'a [Value], String> {
    match file.at(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(format!("{name}: expected a list of ports and addresses, got {other}")),
    }
}

fn tcp(item: &Value) -> Result<StreamListen, String> {
    const NAME: &str = "apisix.stream_proxy.tcp";
    let Value::Object(members) = item else {
        return Ok(StreamListen { address: address(NAME, item)?, tls: false });
    };
    only_members(NAME, item, &["addr", "tls"])?;
    let tls = match members.get("tls") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(tls)) => *tls,
        Some(other) => return Err(format!("{NAME}.tls: expected true or false, got {other}")),
    };
    let addr =
        members.get("addr").ok_or_else(|| format!("{NAME}: {item} has no addr; write {{addr: 9100}}"))?;
    Ok(StreamListen { address: address(NAME, addr)?, tls })
}

/// A port, or an address with one.
fn address(name: &str, item: &Value) -> Result<SocketAddr, String> {
    let any = IpAddr::from([0, 0, 0, 0]);
    match item {
        Value::Number(number) => Ok(SocketAddr::new(any, port(name, number.as_u64().unwrap_or(u64::MAX))?)),
        Value::String(text) => {
            let plain = text.parse().map(|port| SocketAddr::new(any, port));
            plain.or_else(|_| text.parse()).map_err(|_| {
                format!("{name}: {text} is no address; write a port, or one with an address such as 127.0.0.1:9100")
            })
        }
        other => Err(format!("{name}: expected a port or an address, got {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::parsed;

    #[test]
    fn streams_have_listeners_of_their_own() {
        let settings = parsed(
            "apisix: {proxy_mode: http&stream, stream_proxy: {tcp: [9100, '127.0.0.1:9101', {addr: 9102, tls: true}], udp: [9200, '[::1]:9201']}}",
        )
        .unwrap();
        let tcp: Vec<String> = settings
            .streams
            .tcp
            .iter()
            .map(|one| format!("{}{}", one.address, if one.tls { " tls" } else { "" }))
            .collect();
        assert_eq!(tcp, ["0.0.0.0:9100", "127.0.0.1:9101", "0.0.0.0:9102 tls"]);
        assert_eq!(settings.streams.udp, ["0.0.0.0:9200".parse().unwrap(), "[::1]:9201".parse().unwrap()]);
        assert!(settings.admin_api.form.streams && !settings.proxy.is_empty());
    }

    #[test]
    fn what_the_mode_leaves_out_is_off_or_warned_about() {
        let alone =
            parsed("apisix: {proxy_mode: stream, stream_proxy: {tcp: [9100]}, ssl: {enable: true}}").unwrap();
        assert!(alone.proxy.is_empty() && alone.tls.listen.is_empty() && !alone.streams.tcp.is_empty());
        let off = parsed("apisix: {stream_proxy: {tcp: [9100]}}").unwrap();
        assert!(off.streams.tcp.is_empty() && off.warnings[0].contains("proxy_mode"), "{:?}", off.warnings);
        let none = parsed("apisix: {proxy_mode: http&stream}").unwrap();
        assert!(none.warnings[0].contains("no connection can"), "{:?}", none.warnings);
        for (wrong, wanted) in [
            ("apisix: {proxy_mode: udp}", "http, stream or http&stream"),
            ("apisix: {proxy_mode: stream, stream_proxy: {tcp: [a.test]}}", "a.test is no address"),
            (
                "apisix: {proxy_mode: stream, stream_proxy: {tcp: [{addr: 1, tsl: true}]}}",
                "did you mean tls?",
            ),
            ("apisix: {proxy_mode: stream, stream_proxy: {tcp: 9100}}", "expected a list"),
        ] {
            let error = parsed(wrong).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
