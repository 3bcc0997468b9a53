//! The plugins of Usher: one file a plugin, and the one visible list of them.
//!
//! A plugin exists by two lines here: its `mod` line and its line in [`all`]. Nothing registers itself, so that what this list shows is what
//! runs; `tests/every_plugin.rs` fails when a file of this folder is missing from it.
//!
//! What it is not: nothing but `gateway` imports it, so no other room can lean on one plugin.

mod acl;
mod addresses;
mod ai;
mod ai_prompt_decorator;
mod ai_prompt_guard;
mod ai_prompt_template;
mod ai_proxy;
mod ai_proxy_multi;
mod ai_rate_limiting;
mod alike;
mod api_breaker;
mod attach_consumer_label;
mod authz_casbin;
mod authz_keycloak;
mod basic_auth;
mod basic_credentials;
mod batch_requests;
mod body_transformer;
mod brotli;
mod callee;
mod chat_files;
mod client_control;
mod coded;
mod consumer_restriction;
mod cookies;
mod cors;
mod csrf;
mod data_mask;
mod decode;
mod degraphql;
mod echo;
mod elasticsearch_logger;
mod error_page;
mod exit_transformer;
mod external_user;
mod fault_injection;
mod field_edits;
mod file_logger;
mod form;
mod forward_auth;
mod grpc_frames;
mod grpc_transcode;
mod grpc_web;
mod gzip;
mod held;
mod hmac_auth;
mod http_logger;
mod ip_restriction;
mod jwe_decrypt;
mod jwt_auth;
mod kafka_logger;
mod kept_document;
mod key_auth;
mod keyed;
mod ldap_auth;
mod limit_conn;
mod limit_count;
mod limit_key;
mod limit_req;
mod logs;
mod loki_logger;
mod mocking;
mod mqtt_proxy;
mod multi_auth;
mod oas_validator;
mod opa;
mod openapi_to_mcp;
mod openid_connect;
mod opentelemetry;
mod origins;
mod pattern;
pub mod prometheus;
mod proxy_buffering;
mod proxy_cache;
mod proxy_control;
mod proxy_mirror;
mod proxy_rewrite;
mod public_api;
mod real_ip;
mod redirect;
mod redis_link;
mod referer_restriction;
mod request_id;
mod request_validation;
mod response_rewrite;
mod schema;
mod serverless;
mod serverless_post_function;
mod serverless_pre_function;
mod spoofed;
mod stranger;
mod syslog;
mod tcp_logger;
mod text;
mod traffic_label;
mod traffic_split;
mod ua_restriction;
mod udp_logger;
mod uri_blocker;
mod vars;
mod workflow;
mod zipkin;

use usher_pipeline::spec::Spec;

/// Every plugin, in the order of the alphabet. Priorities are the plugins' own.
static ALL: &[&Spec] = &[
    &acl::PLUGIN,
    &ai_prompt_decorator::PLUGIN,
    &ai_prompt_guard::PLUGIN,
    &ai_prompt_template::PLUGIN,
    &ai_proxy::PLUGIN,
    &ai_proxy_multi::PLUGIN,
    &ai_rate_limiting::PLUGIN,
    &api_breaker::PLUGIN,
    &attach_consumer_label::PLUGIN,
    &authz_casbin::PLUGIN,
    &authz_keycloak::PLUGIN,
    &basic_auth::PLUGIN,
    &batch_requests::PLUGIN,
    &body_transformer::PLUGIN,
    &brotli::PLUGIN,
    &chat_files::PLUGIN,
    &client_control::PLUGIN,
    &consumer_restriction::PLUGIN,
    &cors::PLUGIN,
    &csrf::PLUGIN,
    &data_mask::PLUGIN,
    &degraphql::PLUGIN,
    &echo::PLUGIN,
    &elasticsearch_logger::PLUGIN,
    &error_page::PLUGIN,
    &exit_transformer::PLUGIN,
    &fault_injection::PLUGIN,
    &file_logger::PLUGIN,
    &forward_auth::PLUGIN,
    &grpc_transcode::PLUGIN,
    &grpc_web::PLUGIN,
    &gzip::PLUGIN,
    &hmac_auth::PLUGIN,
    &http_logger::PLUGIN,
    &ip_restriction::PLUGIN,
    &jwe_decrypt::PLUGIN,
    &jwt_auth::PLUGIN,
    &kafka_logger::PLUGIN,
    &key_auth::PLUGIN,
    &ldap_auth::PLUGIN,
    &limit_conn::PLUGIN,
    &limit_count::PLUGIN,
    &limit_req::PLUGIN,
    &loki_logger::PLUGIN,
    &mocking::PLUGIN,
    &mqtt_proxy::PLUGIN,
    &multi_auth::PLUGIN,
    &oas_validator::PLUGIN,
    &opa::PLUGIN,
    &openapi_to_mcp::PLUGIN,
    &openid_connect::PLUGIN,
    &opentelemetry::PLUGIN,
    &prometheus::PLUGIN,
    &proxy_buffering::PLUGIN,
    &proxy_cache::PLUGIN,
    &proxy_control::PLUGIN,
    &proxy_mirror::PLUGIN,
    &proxy_rewrite::PLUGIN,
    &public_api::PLUGIN,
    &real_ip::PLUGIN,
    &redirect::PLUGIN,
    &referer_restriction::PLUGIN,
    &request_id::PLUGIN,
    &request_validation::PLUGIN,
    &response_rewrite::PLUGIN,
    &serverless_post_function::PLUGIN,
    &serverless_pre_function::PLUGIN,
    &syslog::PLUGIN,
    &tcp_logger::PLUGIN,
    &traffic_label::PLUGIN,
    &traffic_split::PLUGIN,
    &ua_restriction::PLUGIN,
    &udp_logger::PLUGIN,
    &uri_blocker::PLUGIN,
    &workflow::PLUGIN,
    &zipkin::PLUGIN,
];

/// Every plugin of this program.
#[must_use]
pub fn all() -> &'static [&'static Spec] {
    ALL
}
