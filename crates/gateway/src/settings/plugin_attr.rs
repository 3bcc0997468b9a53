//! `plugin_attr`: settings of plugins for the whole process, and where metrics are served, which APISIX keeps there.

use std::net::{IpAddr, SocketAddr};

use usher_model::nearest::nearest;

use super::Settings;
use super::read::{Document, port};

/// Where APISIX serves metrics, and so do we.
const EXPORT_URI: &str = "/apisix/prometheus/metrics";

/// Takes the attributes over; those of plugins that aren't here are warned about.
///
/// # Errors
/// A member of `plugin_attr.prometheus` that can't be followed.
pub(super) fn read(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    if let Some(attributes) = file.at("plugin_attr").and_then(serde_json::Value::as_object) {
        settings.plugin_attributes.clone_from(attributes);
        let known = || usher_plugins::all().iter().map(|plugin| plugin.name);
        for name in attributes.keys().filter(|name| !known().any(|known| known == *name)) {
            let hint = nearest(name, known()).map(|near| format!("; did you mean {near}?"));
            settings.warnings.push(format!(
                "plugin_attr.{name} is for a plugin that this version of Usher doesn't have{}",
                hint.unwrap_or_default()
            ));
        }
    }
    if let Some(zones) = file.at("apisix.proxy_cache") {
        settings.plugin_attributes.insert("proxy-cache".to_owned(), zones.clone());
    }
    export(file, settings)
}

/// Where metrics are served; `listen.metrics` wins.
fn export(file: &Document<'_>, settings: &mut Settings) -> Result<(), String> {
    const ABOVE: &str = "plugin_attr.prometheus";
    let uri = file.text(&format!("{ABOVE}.export_uri"))?;
    if let Some(uri) = uri.filter(|uri| *uri != EXPORT_URI) {
        return Err(format!(
            "{ABOVE}.export_uri: {uri} is not supported by this version; write {EXPORT_URI}"
        ));
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
