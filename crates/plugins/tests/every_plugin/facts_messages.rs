//! What is known of the plugins that change messages from one form into another.

use super::facts::Facts;

pub(crate) const MESSAGES: &[Facts] = &[
    Facts {
        name: "batch-requests",
        priority: 4010,
        phases: "",
        also: &[],
        fields: r#"
            . | object |
        "#,
        refused: &[(r#"{"max_body_size": 1}"#, "additional properties forbidden, found max_body_size")],
    },
    Facts {
        name: "data-mask",
        priority: 1500,
        phases: "L",
        also: &[("mask", "what is hidden is hidden before the first plugin logs, those of global rules too")],
        fields: r#"
            request               | array   |         | {"maxItems": 256}
            request[]             | object  |
            request[].type        | string  | !       | {"enum": ["query", "header", "body"]}
            request[].body_format | string  |         | {"enum": ["json", "urlencoded"]}
            request[].name        | string  | !
            request[].action      | string  | !       | {"enum": ["regex", "replace", "remove"]}
            request[].regex       | string  |
            request[].value       | string  |
            max_body_size         | integer | 1048576 | {"exclusiveMinimum": 0}
            max_req_post_args     | integer | 100
        "#,
        refused: &[
            (
                r#"{"request": [{"type": "cookie", "name": "a", "action": "remove"}]}"#,
                "property \"request\" validation failed: failed to validate item 1: property \"type\" validation failed: matches none of the enum values",
            ),
            (
                r#"{"max_body_size": 0}"#,
                "property \"max_body_size\" validation failed: expected 0 to be greater than 0",
            ),
        ],
    },
    Facts {
        name: "exit-transformer",
        priority: 22950,
        phases: "R",
        also: &[("exit", "APISIX notes the functions in rewrite, and runs them where an answer is made")],
        fields: r#"
            functions   | array  | ! | {"maxItems": 64}
            functions[] | string |
        "#,
        refused: &[(r#"{}"#, "property \"functions\" is required")],
    },
    Facts {
        name: "body-transformer",
        priority: 1080,
        phases: "R H B",
        also: &[],
        fields: r#"
            request                    | object  |
            request.input_format       | string  |   | {"enum": ["xml", "json", "encoded", "args", "plain", "multipart"]}
            request.template           | string  | !
            request.template_is_base64 | boolean |
            response                    | object  |
            response.input_format       | string  |   | {"enum": ["xml", "json", "encoded", "args", "plain", "multipart"]}
            response.template           | string  | !
            response.template_is_base64 | boolean |
            max_req_body_size  | integer | 67108864 | {"minimum": 1}
            max_resp_body_size | integer | 67108864 | {"minimum": 1}
        "#,
        refused: &[(
            r#"{"request": {}}"#,
            "property \"request\" validation failed: property \"template\" is required",
        )],
    },
    Facts {
        name: "grpc-transcode",
        priority: 506,
        phases: "A H B",
        also: &[],
        fields: r#"
            proto_id            | integer/string... | !
            service             | string    | !
            method              | string    | !
            deadline            | number    | 0
            pb_option           | array     | ["enum_as_name", "int64_as_number", "auto_default_values", "disable_hooks"] | {"minItems": 1}
            pb_option[]         | string... |
            show_status_in_body | boolean   | false
            status_detail_type  | string    |
            max_resp_body_size  | integer   |   | {"minimum": 1}
        "#,
        refused: &[
            (r#"{"service": "a", "method": "b"}"#, "property \"proto_id\" is required"),
            (r#"{"proto_id": "1", "service": "a"}"#, "property \"method\" is required"),
        ],
    },
    Facts {
        name: "grpc-web",
        priority: 505,
        phases: "A H B",
        also: &[],
        fields: r#"
            cors_allow_headers | string | "content-type,x-grpc-web,x-user-agent"
        "#,
        refused: &[(
            r#"{"cors_allow_headers": 1}"#,
            "property \"cors_allow_headers\" validation failed: wrong type: expected string, got number",
        )],
    },
];
