//! `plugin_attr`: settings of plugins for the whole process, and where metrics are served, which APISIX keeps there.

use std::net::{IpAddr, SocketAddr};

use super::Settings;
use super::read::{Document, port};

/// Takes the attributes over.
///
/// # Errors
/// A member of `plugin_attr.prometheus` that can't be followed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    if let Some(attributes) = file.at("plugin_attr").and_then(serde_json::Value::as_object) {
        settings.plugin_attributes.clone_from(attributes);
    }
    if let Some(zones) = file.at("apisix.proxy_cache") {
        settings.plugin_attributes.insert("proxy-cache".to_owned(), zones.clone());
    }
    export(file, settings)
}

/// Where metrics are served; `listen.metrics` wins.
fn export(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    const ABOVE: &str = "plugin_attr.prometheus";
    if let Some(uri) = file.text(&format!("{ABOVE}.export_uri"))? {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if !uri.starts_with('/') || !uri.bytes().all(plain) {
            return Err(format!(
                "{ABOVE}.export_uri: {uri:?} is no path; write one such as /metrics, of letters, digits, / - . _ and ~"
            ));
        }
        uri.clone_into(&mut settings.metrics_path);
    }
    if file.at("listen.metrics").is_some() {
        return Ok(());
    }
    let name = format!("{ABOVE}.export_addr");
    let ip = file.text(&format!("{name}.ip"))?;
    let number = file.whole(&format!("{name}.port"))?;
    if ip.is_some() || number.is_some() {
        let ip = ip.unwrap_or("127.0.0.1");
        let ip: IpAddr = ip.parse().map_err(|_| format!("{name}.ip: {ip} is no IP address"))?;
        settings.metrics = vec![SocketAddr::new(ip, port(&format!("{name}.port"), number.unwrap_or(9091))?)];
    }
    if file.truth(&format!("{ABOVE}.enable_export_server"))? == Some(false) {
        settings.metrics.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::read::parsed;

    #[test]
    fn metrics_are_served_at_the_path_that_is_written() {
        let path = |yaml: &str| parsed(yaml).map(|settings| settings.metrics_path);
        assert_eq!(path("{}").unwrap(), "/apisix/prometheus/metrics");
        let at = |path: &str| format!("plugin_attr: {{prometheus: {{export_uri: '{path}'}}}}");
        assert_eq!(path(&at("/metrics")).unwrap(), "/metrics");
        for bad in ["metrics", "", "/a b", "/{x}", "/a?b"] {
            let refused = path(&at(bad)).unwrap_err();
            assert!(
                refused.contains("plugin_attr.prometheus.export_uri") && refused.contains("/metrics"),
                "{refused}"
            );
        }
    }
}
