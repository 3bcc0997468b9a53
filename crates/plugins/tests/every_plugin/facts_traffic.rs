//! What is known of the plugins that answer, change and compress, from APISIX's contract.

use crate::facts::Facts;

/// Phases of APISIX's that ours have no need of, each with the reason: plugin, phase, reason.
pub(crate) const WITHOUT: &[(&str, &str, &str)] = &[
    (
        "ai-proxy",
        "log",
        "what an answer cost is told before the first plugin logs, those of global rules too",
    ),
    (
        "ai-proxy",
        "before_proxy",
        "the request is made the provider's before a node is chosen, and the proxy sends it",
    ),
    (
        "ai-proxy-multi",
        "log",
        "what an answer cost is told before the first plugin logs, those of global rules too",
    ),
    (
        "ai-proxy-multi",
        "before_proxy",
        "the request is made the provider's before a node is chosen, and the proxy sends it",
    ),
    ("elasticsearch-logger", "access", "the request's body is looked at as it passes, not read before"),
    ("file-logger", "access", "the request's body is looked at as it passes, not read before"),
    ("http-logger", "access", "the request's body is looked at as it passes, not read before"),
    ("kafka-logger", "access", "the request's body is looked at as it passes, not read before"),
    ("loki-logger", "access", "the request's body is looked at as it passes, not read before"),
    ("syslog", "access", "the request's body is looked at as it passes, not read before"),
    ("tcp-logger", "access", "the request's body is looked at as it passes, not read before"),
    ("udp-logger", "access", "the request's body is looked at as it passes, not read before"),
    ("data-mask", "log", "what is hidden is hidden before the first plugin logs, those of global rules too"),
    ("proxy-buffering", "rewrite", "answers are never gathered, so that there is nothing to settle"),
    ("proxy-mirror", "before_proxy", "the copy is sent with the body as it passes, once for all tries"),
    ("zipkin", "access", "the upstream is told of the trace when the request comes in"),
    ("zipkin", "header_filter", "the times of a request are all known when it is logged"),
    ("proxy-mirror", "rewrite", "whether a request is copied is settled when its body is sent"),
];

pub(crate) const TRAFFIC: &[Facts] = &[
    Facts {
        name: "brotli",
        priority: 996,
        phases: "H B",
        also: &[],
        fields: r#"
            types        | array/string | ["text/html"] | {"minItems": 1, "enum": ["*"]}
            min_length   | integer | 20 | {"minimum": 1}
            mode         | integer | 0  | {"maximum": 2}
            comp_level   | integer | 6  | {"maximum": 11}
            lgwin        | integer | 19 | {"enum": [0, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]}
            lgblock      | integer | 0  | {"enum": [0, 16, 17, 18, 19, 20, 21, 22, 23, 24]}
            http_version | any     | 1.1 | {"enum": [1.1, 1.0, "1.1", "1.0"]}
            vary         | boolean | true
        "#,
        refused: &[(
            r#"{"comp_level": 12}"#,
            "property \"comp_level\" validation failed: expected 12 to be at most 11",
        )],
    },
    Facts {
        name: "mqtt-proxy",
        priority: 1000,
        // Its only phase is of connections.
        phases: "",
        also: &[],
        fields: r#"
            protocol_name  | string  | "MQTT"
            protocol_level | integer | ! | {"minimum": 0, "maximum": 255}
        "#,
        refused: &[
            (r#"{}"#, "property \"protocol_level\" is required"),
            (
                r#"{"protocol_level": "5"}"#,
                "property \"protocol_level\" validation failed: wrong type: expected integer, got string",
            ),
            (
                r#"{"protocol_level": 256}"#,
                "property \"protocol_level\" validation failed: expected 256 to be at most 255",
            ),
            (
                r#"{"protocol_level": 4}"#,
                "it works on connections, and here are requests; put it into a stream route",
            ),
        ],
    },
    // None of APISIX's.
    Facts {
        name: "chat-files",
        priority: 502,
        phases: "A",
        also: &[],
        fields: r#"
            spec       | string  | ! | {"minLength": 1}
            prefix     | string  | "" | {"pattern": "^(/[^?#*\\s]*[^/?#*\\s])?$"}
            url        | string  |   | {"pattern": "^https?://[^/?#\\s\"]+$"}
            auth       | object  |
            auth.type  | string  | ! | {"enum": ["none", "bearer", "key"]}
            auth.header | string |
            auth.verification_tokens | object | {}
            operations | array   |   | {"minItems": 1, "maxItems": 30}
            operations[] | string |
            contact_email | string |
            legal_info_url | string |
            logo_url | string |
        "#,
        refused: &[(
            r#"{"spec": "{}"}"#,
            "property \"spec\" validation failed: chats take OpenAPI 3.0 or 3.1, and this document is neither; convert it first",
        )],
    },
    Facts {
        name: "openapi-to-mcp",
        priority: 540,
        phases: "A",
        also: &[],
        fields: r#"
            .                  | object  |   | {"oneOf": [{"required": ["openapi"]}, {"required": ["openapi_url"]}]}
            transport          | string  | "streamable_http" | {"enum": ["sse", "streamable_http"]}
            openapi            | string  |   | {"minLength": 1}
            openapi_url        | string  |   | {"minLength": 1}
            base_url           | string  |   | {"minLength": 1}
            prefix             | string  | "" | {"pattern": "^(/[^?#*\\s]*[^/?#*\\s])?$"}
            headers            | object  |
            flatten_parameters | boolean | false
            operations         | array   |   | {"minItems": 1, "maxItems": 500}
            operations[]       | string  |
            allowed_origins    | array   |   | {"maxItems": 100}
            allowed_origins[]  | string  |
            timeout            | integer | 30000 | {"minimum": 100, "maximum": 300000}
            ssl_verify         | boolean | true
        "#,
        refused: &[
            (r#"{}"#, "value should match only one schema, but matches none"),
            (
                r#"{"transport": "sse", "openapi_url": "http://127.0.0.1:9/x"}"#,
                "property \"transport\" validation failed: \"sse\" is not served; write \"streamable_http\", and let clients connect by Streamable HTTP",
            ),
            (
                r#"{"openapi": "{}"}"#,
                "property \"openapi\" validation failed: its version is \"\"; tools are made of OpenAPI 3.0 and 3.1, convert it first",
            ),
        ],
    },
    Facts {
        name: "degraphql",
        priority: 509,
        phases: "A",
        also: &[],
        fields: r#"
            query             | string  | ! | {"minLength": 1, "maxLength": 1024}
            variables         | array   |   | {"minItems": 1}
            variables[]       | string  |
            operation_name    | string  |   | {"minLength": 1, "maxLength": 1024}
            max_req_body_size | integer | 67108864 | {"minimum": 1}
        "#,
        refused: &[
            (r#"{}"#, "property \"query\" is required"),
            (r#"{"query": "{"}"#, "failed to parse query: ..."),
        ],
    },
    Facts {
        name: "echo",
        priority: 412,
        phases: "H B",
        also: &[],
        fields: r#"
            .           | object    |   | {"anyOf": [{"required": ["before_body"]}, {"required": ["body"]}, {"required": ["after_body"]}]}
            before_body | string    |
            body        | string    |
            after_body  | string    |
            headers     | object... |
        "#,
        refused: &[(
            r#"{}"#,
            "object matches none of the required: [\"before_body\"] or [\"body\"] or [\"after_body\"]",
        )],
    },
    Facts { name: "error-page", priority: 450, phases: "H B", also: &[], fields: "", refused: &[] },
    Facts {
        name: "fault-injection",
        priority: 11000,
        phases: "R",
        also: &[],
        fields: r#"
            .                 | object    |   | {"anyOf": [{"required": ["abort"]}, {"required": ["delay"]}]}
            abort             | object    |
            abort.http_status | integer   | ! | {"minimum": 200, "maximum": 999}
            abort.body        | string    |   | {"minLength": 0}
            abort.headers     | object... |
            abort.percentage  | integer   |   | {"maximum": 100}
            abort.vars        | array     |   | {"maxItems": 20}
            abort.vars[]      | any       |
            delay             | object    |
            delay.duration    | number    | !
            delay.percentage  | integer   |   | {"maximum": 100}
            delay.vars        | array     |   | {"maxItems": 20}
            delay.vars[]      | any       |
        "#,
        refused: &[
            (r#"{}"#, "object matches none of the required: [\"abort\"] or [\"delay\"]"),
            (
                r#"{"abort": {"http_status": 100}}"#,
                "property \"abort\" validation failed: property \"http_status\" validation failed: expected 100 to be at least 200",
            ),
        ],
    },
    Facts {
        name: "gzip",
        priority: 995,
        phases: "H",
        also: &[("body_filter", "the plugin compresses by itself, where APISIX asks nginx to do it")],
        fields: r#"
            types          | array/string | ["text/html"] | {"minItems": 1, "enum": ["*"]}
            min_length     | integer | 20 | {"minimum": 1}
            comp_level     | integer | 1  | {"minimum": 1, "maximum": 9}
            http_version   | any     | 1.1 | {"enum": [1.1, 1.0, "1.1", "1.0"]}
            buffers        | object  | {"number": 32, "size": 4096}
            buffers.number | integer | 32 | {"minimum": 1}
            buffers.size   | integer | 4096 | {"minimum": 1}
            vary           | boolean |
        "#,
        refused: &[(
            r#"{"comp_level": 0}"#,
            "property \"comp_level\" validation failed: expected 0 to be at least 1",
        )],
    },
    Facts {
        name: "mocking",
        priority: 10900,
        phases: "A",
        also: &[],
        fields: r#"
            .                | object    |     | {"anyOf": [{"required": ["response_example"]}, {"required": ["response_schema"]}]}
            delay            | integer   | 0
            response_status  | integer   | 200 | {"minimum": 100, "maximum": 999}
            content_type     | string    | "application/json;charset=utf8"
            response_example | string    |
            response_schema  | object... |
            with_mock_header | boolean   | true
            response_headers | object... |
        "#,
        refused: &[
            (
                r#"{"response_status": 200}"#,
                "object matches none of the required: [\"response_example\"] or [\"response_schema\"]",
            ),
            (r#"{"response_example": "a", "content_type": "video/x"}"#, "unsupported content type!..."),
        ],
    },
    Facts {
        name: "proxy-buffering",
        priority: 21991,
        phases: "R",
        also: &[],
        fields: r#"
            disable_proxy_buffering | boolean | false
        "#,
        refused: &[(
            r#"{"disable_proxy_buffering": 1}"#,
            "property \"disable_proxy_buffering\" validation failed: wrong type: expected boolean, got number",
        )],
    },
    Facts {
        name: "proxy-control",
        priority: 21990,
        phases: "R",
        also: &[],
        fields: r#"
            request_buffering | boolean | true
        "#,
        refused: &[(
            r#"{"request_buffering": 1}"#,
            "property \"request_buffering\" validation failed: wrong type: expected boolean, got number",
        )],
    },
    Facts {
        name: "proxy-mirror",
        priority: 1010,
        phases: "R P",
        also: &[("request_body", "the copy is made of the body as it passes")],
        fields: r#"
            host             | string  | ! | {"pattern": "^https?:\\/\\/([a-zA-Z0-9-_.]+|\\[[0-9a-fA-F:]+\\])(:\\d+)?$"}
            path             | string  |   | {"pattern": "^/[^?&]+$"}
            path_concat_mode | string  | "replace" | {"enum": ["replace", "prefix"]}
            sample_ratio     | number  | 1 | {"minimum": 0.00001, "maximum": 1}
        "#,
        refused: &[(r#"{}"#, "property \"host\" is required")],
    },
    Facts {
        name: "public-api",
        priority: 501,
        phases: "A",
        also: &[],
        fields: r#"
            uri | string |
        "#,
        refused: &[(
            r#"{"uri": 1}"#,
            "property \"uri\" validation failed: wrong type: expected string, got number",
        )],
    },
    Facts {
        name: "real-ip",
        priority: 23000,
        phases: "R",
        also: &[],
        fields: r#"
            source              | string    | ! | {"minLength": 1}
            trusted_addresses   | array     |   | {"minItems": 1}
            trusted_addresses[] | string... |
            recursive           | boolean   | false
        "#,
        refused: &[(r#"{}"#, "property \"source\" is required")],
    },
    Facts {
        name: "traffic-label",
        priority: 967,
        phases: "A",
        also: &[],
        fields: r#"
            rules                       | array     | !
            rules[]                     | object    |
            rules[].match               | array     |
            rules[].match[]             | any       |
            rules[].actions             | array     | ! | {"minItems": 1, "maxItems": 20}
            rules[].actions[]           | object    |
            rules[].actions[].set_headers | object... |
            rules[].actions[].weight    | integer   | 1 | {"minimum": 1}
        "#,
        refused: &[(r#"{}"#, "property \"rules\" is required")],
    },
    Facts {
        name: "zipkin",
        priority: 12011,
        phases: "R A H L",
        also: &[],
        fields: r#"
            endpoint     | string  | !
            sample_ratio | number  | ! | {"minimum": 0.00001, "maximum": 1}
            service_name | string  | "APISIX"
            server_addr  | string  |   | {"pattern": "^[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}$"}
            span_version | integer | 2 | {"enum": [1, 2]}
        "#,
        refused: &[
            (r#"{"sample_ratio": 1}"#, "property \"endpoint\" is required"),
            (r#"{"endpoint": "a.test", "sample_ratio": 1}"#, "property \"endpoint\" validation failed: ..."),
        ],
    },
];
