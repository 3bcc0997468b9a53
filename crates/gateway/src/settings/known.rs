//! Every name that `config.yaml` may hold: those that Usher acts upon, and those of APISIX's that it only knows.

use usher_model::nearest::nearest;

/// Names that are acted upon; `*` stands for any name, and everything below a name that ends in `**` is its reader's business.
pub(super) const SUPPORTED: &[&str] = &[
    "acme.**",
    "compat",
    "consent",
    "data",
    "keyring_file",
    "store",
    "store_ca_file",
    "store_file",
    "store_key_file",
    "store_verify",
    "workers",
    "listen.proxy",
    "listen.tls",
    "listen.admin",
    "listen.chat",
    "listen.metrics",
    "listen.control",
    "listen.status",
    "listen.gateways",
    "gateways.others",
    "limits.connections",
    "limits.connections_per_client",
    "limits.memory_mib",
    "server_header",
    "plugins",
    "stream_plugins",
    "chat.limits.applies",
    "chat.limits.calls",
    "chat.limits.plans",
    "console.**",
    "chat.console",
    "chat.model.**",
    "chat.oauth",
    "chat.oauth_private_clients",
    "chat.public_url",
    "chat.published_on_loopback",
    "chat.token_required",
    "chat.toolsets",
    "chat.verification_tokens.openai",
    "apisix.data_encryption.enable_encrypt_fields",
    "apisix.data_encryption.keyring",
    "apisix.node_listen",
    "apisix.enable_admin",
    "apisix.enable_admin_cors",
    "apisix.enable_control",
    "apisix.enable_http2",
    "apisix.enable_server_tokens",
    "apisix.control.ip",
    "apisix.control.port",
    "apisix.status.ip",
    "apisix.status.port",
    "apisix.proxy_mode",
    "apisix.trusted_addresses",
    "apisix.proxy_protocol.enable_tcp_pp",
    "apisix.proxy_protocol.enable_tcp_pp_to_upstream",
    "apisix.proxy_protocol.listen_http_port",
    "apisix.proxy_protocol.listen_https_port",
    "apisix.router.http",
    "apisix.disable_upstream_healthcheck",
    "apisix.dns_resolver",
    "apisix.dns_resolver_valid",
    "apisix.enable_ipv6",
    "apisix.enable_resolv_search_opt",
    "apisix.resolver_timeout",
    "apisix.ssl.enable",
    "apisix.ssl.enable_http3",
    "apisix.ssl.fallback_sni",
    "apisix.ssl.listen",
    "apisix.ssl.ssl_ciphers",
    "apisix.ssl.ssl_protocols",
    "apisix.ssl.ssl_session_tickets",
    "apisix.stream_proxy.tcp",
    "apisix.stream_proxy.udp",
    "apisix.delete_uri_tail_slash",
    "apisix.enable_debug",
    "apisix.match_uri_encoded_slash",
    "apisix.normalize_uri_like_servlet",
    "apisix.show_upstream_status_in_response_header",
    "apisix.proxy_cache.cache_ttl",
    "apisix.proxy_cache.zones",
    "discovery.**",
    "deployment.role",
    "deployment.etcd.**",
    "deployment.role_control_plane.config_provider",
    "deployment.role_data_plane.config_provider",
    "deployment.role_traditional.config_provider",
    "deployment.admin.admin_key",
    "deployment.admin.admin_key_required",
    "deployment.admin.admin_api_version",
    "deployment.admin.allow_admin",
    "deployment.admin.enable_admin_cors",
    "deployment.admin.enable_admin_ui",
    "deployment.admin.https_admin",
    "deployment.admin.admin_api_mtls.admin_ssl_cert",
    "deployment.admin.admin_api_mtls.admin_ssl_cert_key",
    "deployment.admin.admin_api_mtls.admin_ssl_ca_cert",
    "deployment.admin.admin_listen.ip",
    "deployment.admin.admin_listen.port",
    "nginx_config.worker_processes",
    "nginx_config.http.enable_access_log",
    "nginx_config.http.access_log",
    "nginx_config.http.access_log_format",
    "nginx_config.http.access_log_format_escape",
    "nginx_config.stream.enable_access_log",
    "nginx_config.stream.access_log",
    "nginx_config.stream.access_log_format",
    "nginx_config.stream.access_log_format_escape",
    "plugin_attr.batch-requests.uri",
    "plugin_attr.opentelemetry.batch_span_processor.**",
    "plugin_attr.opentelemetry.collector.**",
    "plugin_attr.opentelemetry.resource.**",
    "plugin_attr.opentelemetry.set_ngx_var",
    "plugin_attr.opentelemetry.trace_id_source",
    "plugin_attr.prometheus.default_buckets",
    "plugin_attr.prometheus.enable_export_server",
    "plugin_attr.prometheus.export_addr.ip",
    "plugin_attr.prometheus.export_addr.port",
    "plugin_attr.prometheus.export_uri",
    "plugin_attr.prometheus.llm_completion_tokens_buckets",
    "plugin_attr.prometheus.llm_latency_buckets",
    "plugin_attr.prometheus.llm_prompt_tokens_buckets",
    "plugin_attr.prometheus.max_series",
    "plugin_attr.prometheus.metric_prefix",
    "plugin_attr.prometheus.metrics.**",
    "plugin_attr.prometheus.refresh_interval",
    "plugin_attr.prometheus.remove_expired_keys_interval",
    "plugin_attr.redirect.https_port",
];

/// Names that APISIX knows and Usher doesn't act upon: accepted with a warning.
pub(super) const ONLY_KNOWN: &[&str] = &[
    "apisix.data_encryption.enable",
    "apisix.disable_sync_configuration_during_start",
    "apisix.enable_dev_mode",
    "apisix.enable_heartbeat",
    "apisix.enable_reuseport",
    "apisix.events.module",
    "apisix.extra_lua_cpath",
    "apisix.extra_lua_path",
    "apisix.lru.secret.**",
    "apisix.lua_module_hook",
    "apisix.router.ssl",
    "apisix.ssl.key_encrypt_salt",
    "apisix.ssl.listen_port",
    "apisix.ssl.ssl_trusted_certificate",
    "apisix.stream_proxy.only",
    "apisix.tracing",
    "apisix.worker_startup_time_threshold",
    "deployment.certs.cert",
    "deployment.certs.cert_key",
    "deployment.certs.trusted_ca_cert",
    "deployment.role_control_plane.conf_server.**",
    "deployment.role_data_plane.control_plane.**",
    "ext-plugin.cmd",
    "ext-plugin.path_for_test",
    "graphql.max_size",
    "nginx_config.enable_cpu_affinity",
    "nginx_config.envs",
    "nginx_config.error_log",
    "nginx_config.error_log_level",
    "nginx_config.event.worker_connections",
    "nginx_config.http.access_log_buffer",
    "nginx_config.http.charset",
    "nginx_config.http.client_body_timeout",
    "nginx_config.http.client_header_timeout",
    "nginx_config.http.client_max_body_size",
    "nginx_config.http.custom_lua_shared_dict.**",
    "nginx_config.http.keepalive_timeout",
    "nginx_config.http.lua_shared_dict.**",
    "nginx_config.http.proxy_ssl_server_name",
    "nginx_config.http.real_ip_from",
    "nginx_config.http.real_ip_header",
    "nginx_config.http.real_ip_recursive",
    "nginx_config.http.send_timeout",
    "nginx_config.http.underscores_in_headers",
    "nginx_config.http.upstream.keepalive",
    "nginx_config.http.upstream.keepalive_requests",
    "nginx_config.http.upstream.keepalive_timeout",
    "nginx_config.http.variables_hash_max_size",
    "nginx_config.http_admin_configuration_snippet",
    "nginx_config.http_configuration_snippet",
    "nginx_config.http_end_configuration_snippet",
    "nginx_config.http_server_configuration_snippet",
    "nginx_config.http_server_location_configuration_snippet",
    "nginx_config.main_configuration_snippet",
    "nginx_config.max_pending_timers",
    "nginx_config.max_running_timers",
    "nginx_config.meta.lua_shared_dict.**",
    "nginx_config.stream.lua_shared_dict.**",
    "nginx_config.stream_configuration_snippet",
    "nginx_config.user",
    "nginx_config.worker_rlimit_core",
    "nginx_config.worker_rlimit_nofile",
    "nginx_config.worker_shutdown_timeout",
    "plugin_attr.dubbo-proxy.upstream_multiplex_count",
    "plugin_attr.inspect.delay",
    "plugin_attr.inspect.hooks_file",
    "plugin_attr.log-rotate.enable_compression",
    "plugin_attr.log-rotate.interval",
    "plugin_attr.log-rotate.max_kept",
    "plugin_attr.log-rotate.max_size",
    "plugin_attr.log-rotate.timeout",
    "plugin_attr.proxy-mirror.timeout.connect",
    "plugin_attr.proxy-mirror.timeout.read",
    "plugin_attr.proxy-mirror.timeout.send",
    "plugin_attr.server-info.report_ttl",
    "plugin_attr.skywalking.endpoint_addr",
    "plugin_attr.skywalking.report_interval",
    "plugin_attr.skywalking.service_instance_name",
    "plugin_attr.skywalking.service_name",
    "plugin_attr.zipkin.set_ngx_var",
    "wasm.plugins",
    "xrpc.protocols",
];

/// Plugins that APISIX has and Usher doesn't: a list that names one is followed without it.
pub(super) const ONLY_KNOWN_PLUGINS: &[&str] = &[
    "ai",
    "ai-aliyun-content-moderation",
    "ai-aws-content-moderation",
    "ai-rag",
    "ai-request-rewrite",
    "authz-casdoor",
    "aws-lambda",
    "azure-functions",
    "cas-auth",
    "chaitin-waf",
    "clickhouse-logger",
    "datadog",
    "dubbo-proxy",
    "error-log-logger",
    "etcd-logger",
    "example-plugin",
    "ext-plugin-post-req",
    "ext-plugin-post-resp",
    "ext-plugin-pre-req",
    "gm",
    "google-cloud-logging",
    "http-dubbo",
    "inspect",
    "kafka-proxy",
    "lago",
    "log-rotate",
    "loggly",
    "mcp-bridge",
    "node-status",
    "ocsp-stapling",
    "openfunction",
    "openwhisk",
    "rocketmq-logger",
    "server-info",
    "skywalking",
    "skywalking-logger",
    "sls-logger",
    "splunk-hec-logging",
    "tencent-cloud-cls",
    "wolf-rbac",
];

/// The setting that was probably meant by the unknown `name` below `above`: one beside it, one of that name elsewhere, or one that looks like it.
pub(super) fn meant(above: &str, name: &str) -> Option<String> {
    let all = || SUPPORTED.iter().chain(ONLY_KNOWN).map(|known| known.trim_end_matches(".**"));
    let beside = all().filter_map(|known| {
        let rest = if above.is_empty() { known } else { known.strip_prefix(above)?.strip_prefix('.')? };
        rest.split('.').next()
    });
    let path = |name: &str| if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
    nearest(name, beside)
        .map(|near| path(&near))
        .or_else(|| all().find(|known| known.rsplit('.').next() == Some(name)).map(str::to_owned))
        .or_else(|| nearest(&path(name), all()))
}

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

#[cfg(test)]
mod tests {
    use super::super::read::parsed;

    #[test]
    fn a_misspelt_name_is_an_error_in_every_section() {
        for (yaml, wanted) in [
            (
                "nginx_config: { http: { enable_acces_log: false } }\n",
                "nginx_config.http.enable_acces_log is not a setting; did you mean nginx_config.http.enable_access_log?",
            ),
            (
                "nginx_config: { evnt: { worker_connections: 1 } }\n",
                "nginx_config.evnt is not a setting; did you mean nginx_config.event?",
            ),
            (
                "nginx_config: { http: { upstream: { keepaliv: 1 } } }\n",
                "nginx_config.http.upstream.keepaliv is not a setting; did you mean nginx_config.http.upstream.keepalive?",
            ),
            (
                "plugin_attr: { redirect: { https_prt: 1 } }\n",
                "plugin_attr.redirect.https_prt is not a setting; did you mean plugin_attr.redirect.https_port?",
            ),
            (
                "plugin_attr: { promtheus: {} }\n",
                "plugin_attr.promtheus is not a setting; did you mean plugin_attr.prometheus?",
            ),
            (
                "deployment: { adminn: {} }\n",
                "deployment.adminn is not a setting; did you mean deployment.admin?",
            ),
            (
                "apisix: { admin_key: [] }\n",
                "apisix.admin_key is not a setting; did you mean deployment.admin.admin_key?",
            ),
            (
                "apisix: { proxy_cache: { zone: [] } }\n",
                "apisix.proxy_cache.zone is not a setting; did you mean apisix.proxy_cache.zones?",
            ),
        ] {
            assert_eq!(parsed(yaml).unwrap_err(), wanted);
        }
    }

    #[test]
    fn what_one_names_oneself_is_free() {
        let free = "nginx_config:\n  envs: [A]\n  http_configuration_snippet: x\n  http: { custom_lua_shared_dict: { mine: 1m } }\n";
        let warnings = parsed(free).unwrap().warnings;
        assert_eq!(warnings.len(), 3, "{warnings:?}");
    }
}
