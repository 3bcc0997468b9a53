//! What a running server takes up when its settings are read anew, and what needs another process: a restart, or an upgrade, which loses no request.

use super::Settings;

impl Settings {
    /// Takes over what a running server has taken up of newer settings, so that the next ones are compared with that.
    pub(crate) fn take_over(&mut self, newer: Self) {
        self.proxy = newer.proxy;
        self.tls.listen = newer.tls.listen;
        self.behind_balancer = newer.behind_balancer;
        self.streams.tcp = newer.streams.tcp;
        self.streams.udp = newer.streams.udp;
        self.streams.proxy_protocol = newer.streams.proxy_protocol;
        if self.access_log.is_some() && newer.access_log.is_some() {
            self.access_log = newer.access_log;
        }
        if self.stream_access_log.is_some() && newer.stream_access_log.is_some() {
            self.stream_access_log = newer.stream_access_log;
        }
    }

    /// TLS towards clients, but where it is spoken.
    fn shown_tls(&self) -> String {
        let tls = usher_proxy::options::Tls { listen: Vec::new(), ..self.tls.clone() };
        format!("{tls:?}")
    }

    /// The settings that differ and that a running server doesn't take up, by their names in the file.
    pub(crate) fn needing_restart(&self, newer: &Self) -> Vec<&'static str> {
        /// A setting's value as a text that can be compared; secrets are never shown by it.
        type Shown = fn(&Settings) -> String;
        let all: [(&'static str, Shown); 41] = [
            ("data", |s| format!("{:?}", s.data)),
            ("keyring_file", |s| format!("{:?}", s.keyring_file)),
            ("store", |s| format!("{:?} {:?} {:?}", s.store, s.store_file, s.store_verify)),
            ("workers", |s| s.workers.to_string()),
            ("listen.admin", |s| format!("{:?}", s.admin)),
            ("listen.chat", |s| format!("{:?}", s.chat)),
            ("listen.metrics", |s| format!("{:?}", s.metrics)),
            ("listen.control", |s| format!("{:?}", s.control)),
            ("listen.status", |s| format!("{:?}", s.status)),
            ("listen.gateways", |s| format!("{:?}", s.gateways)),
            ("gateways.others", |s| format!("{:?}", s.other_gateways)),
            ("server_header", Self::server_name),
            ("plugins", |s| format!("{:?}", s.plugins)),
            ("stream_plugins", |s| format!("{:?}", s.stream_plugins)),
            ("deployment.admin.admin_key_required", |s| s.admin_key_required.to_string()),
            ("chat.published_on_loopback", |s| s.published_on_loopback.to_string()),
            ("chat.public_url", |s| format!("{:?}", s.public_url)),
            ("chat.limits", |s| format!("{:?}", s.chat_limits)),
            ("chat.toolsets", |s| format!("{:?}", s.chat_toolsets)),
            ("chat.model", |s| format!("{:?} {:?}", s.model, s.chat_budget)),
            ("chat.console", |s| format!("{:?}", s.chat_console)),
            ("chat.oauth", |s| format!("{:?}", s.oauth)),
            ("consent", |s| s.consent_all.to_string()),
            ("deployment.role", |s| format!("{:?}", s.role)),
            ("deployment.admin", |s| format!("{:?}", s.admin_api)),
            ("console", |s| format!("{:?}", s.console)),
            ("acme", |s| format!("{:?}", s.acme)),
            ("apisix.ssl", Self::shown_tls),
            ("apisix.enable_http2", |s| s.http2.to_string()),
            ("apisix.proxy_protocol.enable_tcp_pp_to_upstream", |s| {
                s.streams.proxy_protocol_to_upstreams.to_string()
            }),
            ("apisix.dns_resolver, discovery, health checks", |s| format!("{:?}", s.upstreams)),
            ("compat", |s| format!("{:?}", s.compat)),
            ("apisix.trusted_addresses", |s| format!("{:?}", s.trusted_addresses)),
            ("apisix.router.http", |s| s.router.clone()),
            (
                "apisix.delete_uri_tail_slash, apisix.match_uri_encoded_slash, apisix.normalize_uri_like_servlet",
                |s| format!("{:?}", s.paths),
            ),
            ("apisix.show_upstream_status_in_response_header", |s| s.show_upstream_status.to_string()),
            ("apisix.enable_debug", |s| s.debug.to_string()),
            ("limits", |s| {
                format!(
                    "{:?} {:?} {:?}",
                    s.most_connections, s.most_connections_per_client, s.most_memory_bytes
                )
            }),
            ("plugin_attr", |s| format!("{:?}", s.plugin_attributes)),
            ("nginx_config.http.enable_access_log", |s| s.access_log.is_some().to_string()),
            ("nginx_config.stream.enable_access_log", |s| s.stream_access_log.is_some().to_string()),
        ];
        all.into_iter().filter(|(_, shown)| shown(self) != shown(newer)).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn what_needs_a_restart_is_named() {
        let old = Settings::default();
        let mut new = old.clone();
        new.router = "radixtree_uri".to_owned();
        new.workers = old.workers + 1;
        assert_eq!(old.needing_restart(&new), ["workers", "apisix.router.http"]);
        assert!(old.needing_restart(&old).is_empty());
    }
}
