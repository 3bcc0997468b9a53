//! Every name that `config.yaml` may hold: those that Usher acts upon, and those of APISIX's that it only knows.

/// Names that are acted upon; `*` stands for any name, and everything below a name that ends in `**` is its reader's business.
pub(super) const SUPPORTED: &[&str] = &[
    "compat",
    "consent",
    "data",
    "store",
    "workers",
    "listen.proxy",
    "listen.admin",
    "listen.chat",
    "listen.metrics",
    "chat.public_url",
    "chat.published_on_loopback",
    "apisix.node_listen",
    "apisix.enable_admin",
    "apisix.trusted_addresses",
    "apisix.router.http",
    "apisix.proxy_cache.**",
    "deployment.role",
    "deployment.role_traditional.config_provider",
    "deployment.admin.admin_key",
    "deployment.admin.admin_key_required",
    "deployment.admin.admin_listen.ip",
    "deployment.admin.admin_listen.port",
    "nginx_config.worker_processes",
    "nginx_config.http.enable_access_log",
    "nginx_config.http.access_log",
    "nginx_config.http.access_log_format",
    "plugin_attr.**",
];

/// Names that APISIX knows and Usher doesn't act upon: accepted with a warning.
pub(super) const ONLY_KNOWN: &[&str] = &[
    "apisix.control.**",
    "apisix.data_encryption.**",
    "apisix.delete_uri_tail_slash",
    "apisix.disable_sync_configuration_during_start",
    "apisix.disable_upstream_healthcheck",
    "apisix.dns_resolver",
    "apisix.dns_resolver_valid",
    "apisix.enable_control",
    "apisix.enable_debug",
    "apisix.enable_dev_mode",
    "apisix.enable_heartbeat",
    "apisix.enable_http2",
    "apisix.enable_ipv6",
    "apisix.enable_resolv_search_opt",
    "apisix.enable_reuseport",
    "apisix.enable_server_tokens",
    "apisix.events.**",
    "apisix.extra_lua_cpath",
    "apisix.extra_lua_path",
    "apisix.lru.**",
    "apisix.lua_module_hook",
    "apisix.match_uri_encoded_slash",
    "apisix.normalize_uri_like_servlet",
    "apisix.proxy_mode",
    "apisix.proxy_protocol.**",
    "apisix.resolver_timeout",
    "apisix.router.ssl",
    "apisix.show_upstream_status_in_response_header",
    "apisix.ssl.**",
    "apisix.status.**",
    "apisix.stream_proxy.**",
    "apisix.worker_startup_time_threshold",
    "deployment.admin.admin_api_mtls.**",
    "deployment.admin.admin_api_version",
    "deployment.admin.allow_admin",
    "deployment.admin.enable_admin_cors",
    "deployment.admin.enable_admin_ui",
    "deployment.admin.https_admin",
    "deployment.certs.**",
    "deployment.etcd.**",
    "deployment.role_control_plane.**",
    "deployment.role_data_plane.**",
    "discovery.**",
    "ext-plugin.**",
    "graphql.**",
    "nginx_config.**",
    "plugins",
    "stream_plugins",
    "wasm.**",
    "xrpc.**",
];

/// Whether `path` (dotted) is covered by one of `patterns`.
pub(super) fn covered(path: &str, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix(".**") {
        Some(above) => path == above || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('.')),
        None => path == *pattern,
    })
}

/// Whether some pattern lies below `path`, so that it is a section and not yet a setting.
pub(super) fn is_section(path: &str, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| pattern.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}
