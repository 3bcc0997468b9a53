//! `apisix.ssl`: where TLS is spoken with clients, and how.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use usher_proxy::options::{Cipher, TlsVersions};

use super::Settings;
use super::read::{Document, only_members, port};

/// Where APISIX speaks TLS unless it is told otherwise.
const PORT: u16 = 9443;

/// Reads everything of it. TLS is off until the file says anything of it; `listen.tls` wins over `listen`.
///
/// # Errors
/// The setting, its value and what is allowed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    let Some(Value::Object(section)) = file.at("apisix.ssl") else { return Ok(()) };
    if file.truth("apisix.ssl.enable")?.unwrap_or(!section.is_empty()) {
        settings.tls.listen = match file.at("apisix.ssl.listen") {
            None | Some(Value::Null) => vec![SocketAddr::from(([0, 0, 0, 0], PORT))],
            Some(value) => listen(value)?,
        };
    }
    if file.truth("apisix.ssl.enable_http3")? == Some(true) {
        return Err("apisix.ssl.enable_http3: true is not supported by this version of Usher; leave it out"
            .to_owned());
    }
    if let Some(text) = file.text("apisix.ssl.ssl_protocols")? {
        let (versions, left_out) =
            TlsVersions::parse(text).map_err(|error| format!("apisix.ssl.ssl_protocols: {error}"))?;
        settings.tls.versions = versions;
        if !left_out.is_empty() {
            settings.warnings.push(format!(
                "apisix.ssl.ssl_protocols: {} can be broken into and is not spoken",
                left_out.join(", ")
            ));
        }
    }
    if let Some(text) = file.text("apisix.ssl.ssl_ciphers")? {
        let (ciphers, left_out) =
            Cipher::parse_list(text).map_err(|error| format!("apisix.ssl.ssl_ciphers: {error}"))?;
        settings.tls.ciphers = Some(ciphers);
        if !left_out.is_empty() {
            settings
                .warnings
                .push(format!("apisix.ssl.ssl_ciphers: not spoken, and left out: {}", left_out.join(", ")));
        }
    }
    if let Some(name) = file.text("apisix.ssl.fallback_sni")?.filter(|name| !name.is_empty()) {
        settings.tls.fallback_sni = Some(name.to_ascii_lowercase());
    }
    settings.tls.session_tickets = file.truth("apisix.ssl.ssl_session_tickets")?.unwrap_or(false);
    Ok(())
}

/// `apisix.proxy_protocol`: ports that load balancers come to.
///
/// # Errors
/// The setting, its value and what is allowed.
pub(super) fn read_balancers(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    let places = [
        ("apisix.proxy_protocol.listen_http_port", &mut settings.behind_balancer.listen),
        ("apisix.proxy_protocol.listen_https_port", &mut settings.behind_balancer.tls_listen),
    ];
    for (name, place) in places {
        if let Some(number) = file.whole(name)? {
            *place = vec![SocketAddr::from(([0, 0, 0, 0], port(name, number)?))];
        }
    }
    Ok(())
}

fn listen(value: &Value) -> Result<Vec<SocketAddr>, String> {
    const NAME: &str = "apisix.ssl.listen";
    let Value::Array(items) = value else {
        return Err(format!("{NAME}: expected a list of {{ip, port}}, got {value}"));
    };
    items
        .iter()
        .map(|item| {
            only_members(NAME, item, &["ip", "port", "enable_http3"])?;
            if item.get("enable_http3").and_then(Value::as_bool) == Some(true) {
                return Err(format!(
                    "{NAME}: enable_http3: true is not supported by this version of Usher; leave it out"
                ));
            }
            let ip = match item.get("ip").and_then(Value::as_str) {
                Some(ip) => ip.parse().map_err(|_| format!("{NAME}: {ip} is no IP address"))?,
                None => IpAddr::from([0, 0, 0, 0]),
            };
            let number = match item {
                Value::Number(number) => number.as_u64(),
                _ => item.get("port").and_then(Value::as_u64),
            };
            let number = number.ok_or_else(|| format!("{NAME}: expected {{ip, port}}, got {item}"))?;
            Ok(SocketAddr::new(ip, port(NAME, number)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use usher_proxy::options::TlsVersions;

    use super::super::read::parsed;

    #[test]
    fn tls_is_off_until_the_file_speaks_of_it() {
        for (yaml, wanted) in [
            ("{}", ""),
            ("apisix: {ssl: {enable: false, listen: [{port: 9443}]}}", ""),
            ("apisix: {ssl: {enable: true}}", "0.0.0.0:9443"),
            ("apisix: {ssl: {fallback_sni: a.test}}", "0.0.0.0:9443"),
            (
                "apisix: {ssl: {listen: [{port: 1443}, {ip: 127.0.0.2, port: 2443}]}}",
                "0.0.0.0:1443 127.0.0.2:2443",
            ),
            ("apisix: {ssl: {enable: true}}\nlisten: {tls: 127.0.0.1:0}", "127.0.0.1:0"),
            ("apisix: {ssl: {enable: true}}\nlisten: {tls: off}", ""),
        ] {
            let settings = parsed(yaml).unwrap();
            let listen: Vec<String> = settings.tls.listen.iter().map(ToString::to_string).collect();
            assert_eq!(listen.join(" "), wanted, "{yaml}");
        }
    }

    #[test]
    fn load_balancers_have_ports_of_their_own() {
        let settings =
            parsed("apisix: {proxy_protocol: {listen_http_port: 9181, listen_https_port: 9182}}").unwrap();
        let balanced = &settings.behind_balancer;
        assert_eq!(balanced.listen, ["0.0.0.0:9181".parse().unwrap()]);
        assert_eq!(balanced.tls_listen, ["0.0.0.0:9182".parse().unwrap()]);
        assert!(parsed("apisix: {proxy_protocol: {listen_http_port: 70000}}").is_err());
    }

    #[test]
    fn what_is_not_spoken_is_refused_or_warned_about_by_name() {
        let refused = |yaml: &str| parsed(yaml).unwrap_err();
        let http3 = refused("apisix: {ssl: {listen: [{port: 1, enable_http3: true}]}}");
        assert!(http3.starts_with("apisix.ssl.listen: enable_http3: true is not supported"), "{http3}");
        assert!(
            refused("apisix: {ssl: {enable_http3: true}}").contains("enable_http3: true is not supported")
        );
        assert!(
            refused("apisix: {ssl: {ssl_protocol: TLSv1.3}}")
                .contains("did you mean apisix.ssl.ssl_protocols?")
        );
        let versions = refused("apisix: {ssl: {ssl_protocols: TLSv1.1}}");
        assert!(versions.contains("TLSv1.2, TLSv1.3 or both"), "{versions}");
        assert!(refused("apisix: {ssl: {listen: [{prt: 1}]}}").contains("did you mean port?"));

        let settings = parsed(
            "apisix: {ssl: {ssl_protocols: TLSv1.1 TLSv1.3, ssl_ciphers: 'ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA', ssl_session_tickets: true}}",
        )
        .unwrap();
        assert_eq!(settings.tls.versions, TlsVersions::Only13);
        assert!(settings.tls.session_tickets);
        assert!(settings.warnings[0].contains("TLSv1.1") && settings.warnings[1].contains("AES128-SHA"));
    }
}
