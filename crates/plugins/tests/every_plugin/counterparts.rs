//! What clients are answered when somebody fails whom a plugin calls: stated here once, shown on the plugin's page, and tried with the real gateway.
//!
//! 200 means that the request goes on to the upstream as if the plugin weren't there; every other status is the plugin's own answer.

/// A plugin with somebody it calls.
pub(crate) struct Counterpart {
    pub(crate) plugin: &'static str,
    /// Whom it calls, and how, for people.
    pub(crate) calls: &'static str,
    /// Its body. `PORT` stands for the port of whom it calls.
    pub(crate) body: &'static str,
    /// A request that makes it call.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    pub(crate) request_body: &'static str,
    /// Nobody listens there.
    pub(crate) away: u16,
    /// It takes the connection and says nothing.
    pub(crate) silent: u16,
    /// What it says is nothing of the protocol.
    pub(crate) garbage: u16,
    /// It speaks HTTP, and answers 200 with a text that means nothing; `None` where a 200 is what it was asked for, or where it isn't asked by HTTP.
    pub(crate) nonsense: Option<u16>,
}

const BEARER: &[(&str, &str)] = &[("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x")];
const CHAT: &str = r#"{"messages":[{"role":"user","content":"hello"}]}"#;
const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

const fn with(
    plugin: &'static str,
    calls: &'static str,
    body: &'static str,
    [away, silent, garbage, nonsense]: [u16; 4],
) -> Counterpart {
    let nonsense = if nonsense == 0 { None } else { Some(nonsense) };
    Counterpart { plugin, calls, body, fields: &[], request_body: "", away, silent, garbage, nonsense }
}

const fn asked_with(
    fields: &'static [(&'static str, &'static str)],
    request_body: &'static str,
    counterpart: Counterpart,
) -> Counterpart {
    Counterpart { fields, request_body, ..counterpart }
}

/// All of them.
pub(crate) const COUNTERPARTS: &[Counterpart] = &[
    asked_with(
        JSON,
        CHAT,
        with(
            "ai-proxy",
            "the model's provider",
            r#"{"provider":"openai-compatible","auth":{"header":{"Authorization":"Bearer x"}},"options":{"model":"m"},"override":{"endpoint":"http://127.0.0.1:PORT/v1/chat/completions"},"timeout":300}"#,
            [502, 504, 502, 0],
        ),
    ),
    asked_with(
        JSON,
        CHAT,
        with(
            "ai-proxy-multi",
            "the models' providers",
            r#"{"instances":[{"name":"a","provider":"openai-compatible","weight":1,"auth":{"header":{"Authorization":"Bearer x"}},"options":{"model":"m"},"override":{"endpoint":"http://127.0.0.1:PORT/v1/chat/completions"}}],"timeout":300}"#,
            [502, 504, 502, 0],
        ),
    ),
    asked_with(
        BEARER,
        "",
        with(
            "authz-keycloak",
            "Keycloak, at its token endpoint",
            r#"{"token_endpoint":"http://127.0.0.1:PORT/token","client_id":"c","permissions":["r"],"timeout":1000}"#,
            [503, 503, 503, 503],
        ),
    ),
    with(
        "elasticsearch-logger",
        "Elasticsearch, behind the request",
        r#"{"endpoint_addrs":["http://127.0.0.1:PORT"],"field":{"index":"i"},"timeout":1,"batch_max_size":1}"#,
        [200, 200, 200, 200],
    ),
    with(
        "forward-auth",
        "the service that decides",
        r#"{"uri":"http://127.0.0.1:PORT/auth","timeout":300}"#,
        [403, 403, 403, 0],
    ),
    with(
        "forward-auth",
        "the same with `allow_degradation`",
        r#"{"uri":"http://127.0.0.1:PORT/auth","timeout":300,"allow_degradation":true}"#,
        [200, 200, 200, 0],
    ),
    with(
        "http-logger",
        "the server for lines, behind the request",
        r#"{"uri":"http://127.0.0.1:PORT/log","timeout":1,"batch_max_size":1}"#,
        [200, 200, 200, 200],
    ),
    with(
        "kafka-logger",
        "the brokers, behind the request",
        r#"{"brokers":[{"host":"127.0.0.1","port":PORT}],"kafka_topic":"t","timeout":1,"batch_max_size":1}"#,
        [200, 200, 200, 0],
    ),
    asked_with(
        &[("Authorization", "Basic dXNlcjpwYXNz")],
        "",
        with(
            "ldap-auth",
            "the directory",
            r#"{"base_dn":"dc=example","ldap_uri":"127.0.0.1:PORT","use_tls":false}"#,
            [401, 401, 401, 0],
        ),
    ),
    with(
        "limit-conn",
        "Redis, where `policy` says so",
        r#"{"conn":5,"burst":0,"default_conn_delay":1,"key":"remote_addr","policy":"redis","redis_host":"127.0.0.1","redis_port":PORT,"redis_timeout":300}"#,
        [500, 500, 500, 0],
    ),
    with(
        "limit-conn",
        "the same with `allow_degradation`",
        r#"{"conn":5,"burst":0,"default_conn_delay":1,"key":"remote_addr","policy":"redis","redis_host":"127.0.0.1","redis_port":PORT,"redis_timeout":300,"allow_degradation":true}"#,
        [200, 200, 200, 0],
    ),
    with(
        "limit-count",
        "Redis, where `policy` says so",
        r#"{"count":5,"time_window":60,"policy":"redis","redis_host":"127.0.0.1","redis_port":PORT,"redis_timeout":300}"#,
        [500, 500, 500, 0],
    ),
    with(
        "limit-count",
        "the same with `allow_degradation`",
        r#"{"count":5,"time_window":60,"policy":"redis","redis_host":"127.0.0.1","redis_port":PORT,"redis_timeout":300,"allow_degradation":true}"#,
        [200, 200, 200, 0],
    ),
    with(
        "limit-req",
        "Redis, where `policy` says so",
        r#"{"rate":5,"burst":5,"key":"remote_addr","policy":"redis","redis_host":"127.0.0.1","redis_port":PORT,"redis_timeout":300}"#,
        [500, 500, 500, 0],
    ),
    with(
        "limit-req",
        "the same with `allow_degradation`",
        r#"{"rate":5,"burst":5,"key":"remote_addr","policy":"redis","redis_host":"127.0.0.1","redis_port":PORT,"redis_timeout":300,"allow_degradation":true}"#,
        [200, 200, 200, 0],
    ),
    with(
        "loki-logger",
        "Loki, behind the request",
        r#"{"endpoint_addrs":["http://127.0.0.1:PORT"],"timeout":300,"batch_max_size":1}"#,
        [200, 200, 200, 200],
    ),
    with(
        "oas-validator",
        "whoever has the document at `spec_url`",
        r#"{"spec_url":"http://127.0.0.1:PORT/spec.json","timeout":1000}"#,
        [500, 500, 500, 500],
    ),
    with(
        "opa",
        "the agent that decides",
        r#"{"host":"http://127.0.0.1:PORT","policy":"p","timeout":300}"#,
        [403, 403, 403, 503],
    ),
    asked_with(
        JSON,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
        with(
            "openapi-to-mcp",
            "whoever has the document at `openapi_url`",
            r#"{"openapi_url":"http://127.0.0.1:PORT/spec.json","base_url":"http://127.0.0.1:PORT","timeout":1000}"#,
            [502, 504, 502, 502],
        ),
    ),
    asked_with(
        BEARER,
        "",
        with(
            "openid-connect",
            "the provider, to introspect a token",
            r#"{"client_id":"c","client_secret":"s","discovery":"http://127.0.0.1:PORT/d","introspection_endpoint":"http://127.0.0.1:PORT/i","bearer_only":true,"timeout":1}"#,
            [401, 401, 401, 401],
        ),
    ),
    asked_with(
        BEARER,
        "",
        with(
            "openid-connect",
            "the provider, for its keys (`use_jwks`)",
            r#"{"client_id":"c","client_secret":"s","discovery":"http://127.0.0.1:PORT/d","use_jwks":true,"bearer_only":true,"timeout":1}"#,
            [401, 401, 401, 401],
        ),
    ),
    with(
        "openid-connect",
        "the provider, for a login",
        r#"{"client_id":"c","client_secret":"s","discovery":"http://127.0.0.1:PORT/d","session":{"secret":"0123456789abcdef"},"timeout":1}"#,
        [500, 500, 500, 500],
    ),
    with(
        "proxy-mirror",
        "the server that gets copies, behind the request",
        r#"{"host":"http://127.0.0.1:PORT"}"#,
        [200, 200, 200, 200],
    ),
    with(
        "syslog",
        "the syslog server, behind the request",
        r#"{"host":"127.0.0.1","port":PORT,"timeout":300,"batch_max_size":1}"#,
        [200, 200, 200, 0],
    ),
    with(
        "tcp-logger",
        "the server for lines, behind the request",
        r#"{"host":"127.0.0.1","port":PORT,"timeout":300,"batch_max_size":1}"#,
        [200, 200, 200, 0],
    ),
    with(
        "udp-logger",
        "the server for lines, behind the request",
        r#"{"host":"127.0.0.1","port":PORT,"timeout":1,"batch_max_size":1}"#,
        [200, 200, 200, 0],
    ),
    with(
        "zipkin",
        "the collector, behind the request",
        r#"{"endpoint":"http://127.0.0.1:PORT/api/v2/spans","sample_ratio":1}"#,
        [200, 200, 200, 200],
    ),
];
