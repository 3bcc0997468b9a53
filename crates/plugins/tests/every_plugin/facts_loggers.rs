//! What is known of the loggers, from APISIX's contract.

use crate::facts::Facts;

macro_rules! content {
    () => {
        r#"
            log_format             | object... |
            log_format_extra       | object... |
            include_req_body       | boolean  | false
            include_req_body_expr  | array    |   | {"minItems": 1}
            include_req_body_expr[] | any     |
            include_resp_body      | boolean  | false
            include_resp_body_expr | array    |   | {"minItems": 1}
            include_resp_body_expr[] | any    |
            max_req_body_bytes     | integer  | 524288 | {"minimum": 1}
            max_resp_body_bytes    | integer  | 524288 | {"minimum": 1}
        "#
    };
}

macro_rules! batch {
    () => {
        r#"
            name                   | string   |
            batch_max_size         | integer  | 1000 | {"minimum": 1}
            inactive_timeout       | integer  | 5 | {"minimum": 1}
            buffer_duration        | integer  | 60 | {"minimum": 1}
            max_retry_count        | integer  | 0
            retry_delay            | integer  | 1
        "#
    };
}

/// Why a logger takes part in a phase of ours.
const ALSO: &[(&str, &str)] = &[(
    "request_body",
    "the request's body is looked at as it passes, instead of being read before it is sent",
)];

pub(crate) const LOGGERS: &[Facts] = &[
    Facts {
        name: "elasticsearch-logger",
        priority: 413,
        phases: "A B L",
        also: ALSO,
        fields: concat!(
            r#"
            .                      | object   |   | {"oneOf": [{"required": ["endpoint_addr"]}, {"required": ["endpoint_addrs"]}]}
            endpoint_addr          | string   |
            endpoint_addrs         | array    |   | {"minItems": 1}
            endpoint_addrs[]       | string   |
            field                  | object   | !
            field.index            | string   | !
            field.type             | string   |
            auth                   | object   |
            auth.username          | string   | ! | {"minLength": 1}
            auth.password          | string   | ! | {"minLength": 1}
            headers                | object... |
            timeout                | integer  | 10 | {"minimum": 1}
            ssl_verify             | boolean  | true
        "#,
            content!(),
            batch!()
        ),
        refused: &[
            (r#"{"field": {"index": "a"}}"#, "value should match only one schema, but matches none"),
            (r#"{"endpoint_addrs": ["http://a.test"]}"#, "property \"field\" is required"),
        ],
    },
    Facts {
        name: "file-logger",
        priority: 399,
        phases: "A B L",
        also: ALSO,
        fields: concat!(
            r#"
            path                   | string   |   | {"minLength": 1}
            match                  | array    |   | {"maxItems": 20}
            match[]                | any      |
        "#,
            content!()
        ),
        refused: &[
            (r#"{}"#, "property \"path\" is required: set it here, or for all uses in the plugin's metadata"),
            (r#"{"path": "/etc/passwd"}"#, "property \"path\" validation failed: ..."),
        ],
    },
    Facts {
        name: "http-logger",
        priority: 410,
        phases: "A B L",
        also: ALSO,
        fields: concat!(
            r#"
            uri                    | string   | !
            auth_header            | string   |
            timeout                | integer  | 3 | {"minimum": 1}
            concat_method          | string   | "json" | {"enum": ["json", "new_line"]}
            ssl_verify             | boolean  | false
        "#,
            content!(),
            batch!()
        ),
        refused: &[
            (r#"{}"#, "property \"uri\" is required"),
            (r#"{"uri": "a.test"}"#, "property \"uri\" validation failed: ..."),
        ],
    },
    Facts {
        name: "loki-logger",
        priority: 414,
        phases: "A B L",
        also: ALSO,
        fields: concat!(
            r#"
            endpoint_addrs         | array    | ! | {"minItems": 1}
            endpoint_addrs[]       | string   |
            endpoint_uri           | string   | "/loki/api/v1/push" | {"minLength": 1}
            tenant_id              | string   | "fake"
            log_labels             | object... | {"job": "apisix"}
            headers                | object... |
            timeout                | integer  | 3000 | {"minimum": 1, "maximum": 60000}
            keepalive              | boolean  | true
            keepalive_timeout      | integer  | 60000 | {"minimum": 1000}
            keepalive_pool         | integer  | 5 | {"minimum": 1}
            ssl_verify             | boolean  | false
        "#,
            content!(),
            batch!()
        ),
        refused: &[
            (r#"{}"#, "property \"endpoint_addrs\" is required"),
            (
                r#"{"endpoint_addrs": []}"#,
                "property \"endpoint_addrs\" validation failed: expect array to have at least 1 items",
            ),
        ],
    },
    Facts {
        name: "syslog",
        priority: 401,
        phases: "A B L",
        also: ALSO,
        fields: concat!(
            r#"
            host                   | string   | ! | {"minLength": 1}
            port                   | integer  | ! | {"minimum": 1}
            sock_type              | string   | "tcp" | {"enum": ["tcp", "udp"]}
            flush_limit            | integer  | 4096 | {"minimum": 1}
            drop_limit             | integer  | 1048576 | {"minimum": 1}
            timeout                | integer  | 3000 | {"minimum": 1}
            pool_size              | integer  | 5 | {"minimum": 5}
            tls                    | boolean  | false
        "#,
            content!(),
            batch!()
        ),
        refused: &[
            (r#"{"port": 1}"#, "property \"host\" is required"),
            (
                r#"{"host": "a.test", "port": 1, "sock_type": "x"}"#,
                "property \"sock_type\" validation failed: matches none of the enum values",
            ),
        ],
    },
    Facts {
        name: "kafka-logger",
        priority: 403,
        phases: "A B L",
        also: ALSO,
        fields: concat!(
            r#"
            .                      | object   |   | {"oneOf": [{"required": ["brokers", "kafka_topic"]}, {"required": ["broker_list", "kafka_topic"]}]}
            meta_format            | string   | "default" | {"enum": ["default", "origin"]}
            broker_list            | object   |   | {"minProperties": 1}
            brokers                | array    |   | {"minItems": 1}
            brokers[]              | object   |
            brokers[].host         | string   | ! | {"minLength": 1}
            brokers[].port         | integer  | ! | {"minimum": 1}
            brokers[].sasl_config  | object   |
            brokers[].sasl_config.mechanism | string | "PLAIN" | {"enum": ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]}
            brokers[].sasl_config.user      | string | !
            brokers[].sasl_config.password  | string | !
            kafka_topic            | string   |
            required_acks          | integer  | 1 | {"enum": [1, -1]}
            producer_type          | string   | "async" | {"enum": ["async", "sync"]}
            key                    | string   |
            timeout                | integer  | 3 | {"minimum": 1}
            tls                    | object   |
            tls.verify             | boolean  | false
            cluster_name           | integer  | 1 | {"minimum": 1}
            producer_batch_num     | integer  | 200 | {"minimum": 1}
            producer_batch_size    | integer  | 1048576
            producer_max_buffering | integer  | 50000 | {"minimum": 1}
            producer_time_linger   | integer  | 1 | {"minimum": 1}
            meta_refresh_interval  | integer  | 30 | {"minimum": 1}
            api_version            | integer  | 1 | {"enum": [0, 1, 2]}
            name                   | string   | "kafka logger"
            batch_max_size         | integer  | 1000 | {"minimum": 1}
            inactive_timeout       | integer  | 5 | {"minimum": 1}
            buffer_duration        | integer  | 60 | {"minimum": 1}
            max_retry_count        | integer  | 0
            retry_delay            | integer  | 1
        "#,
            content!()
        ),
        refused: &[
            (r#"{"kafka_topic": "t"}"#, "value should match only one schema, but matches none"),
            (
                r#"{"brokers": [{"host": "127.0.0.1", "port": 0}], "kafka_topic": "t"}"#,
                "property \"brokers\" validation failed: failed to validate item 1: property \"port\" validation failed: expected 0 to be at least 1",
            ),
            (
                r#"{"brokers": [{"host": "127.0.0.1", "port": 9092}], "kafka_topic": "t", "required_acks": 0}"#,
                "property \"required_acks\" validation failed: matches none of the enum values",
            ),
        ],
    },
    Facts {
        name: "tcp-logger",
        priority: 405,
        phases: "A B L",
        also: ALSO,
        fields: concat!(
            r#"
            host                   | string   | ! | {"minLength": 1}
            port                   | integer  | ! | {"minimum": 1}
            tls                    | boolean  | false
            tls_options            | string   |
            timeout                | integer  | 1000 | {"minimum": 1}
        "#,
            content!(),
            batch!()
        ),
        refused: &[
            (r#"{"port": 1}"#, "property \"host\" is required"),
            (
                r#"{"host": "a.test", "port": 0}"#,
                "property \"port\" validation failed: expected 0 to be at least 1",
            ),
        ],
    },
    Facts {
        name: "udp-logger",
        priority: 400,
        phases: "A B L",
        also: ALSO,
        fields: concat!(
            r#"
            host                   | string   | ! | {"minLength": 1}
            port                   | integer  | ! | {"minimum": 1}
            timeout                | integer  | 3 | {"minimum": 1}
        "#,
            content!(),
            batch!()
        ),
        refused: &[
            (r#"{"port": 1}"#, "property \"host\" is required"),
            (
                r#"{"host": "a.test", "port": 70000}"#,
                "property \"port\" validation failed: 70000 is not a whole number from 0 to 65535",
            ),
        ],
    },
    Facts {
        name: "opentelemetry",
        priority: 12009,
        phases: "R L",
        also: &[],
        fields: r#"
            sampler                               | object    | {"name": "always_off", "options": {"fraction": 0.0, "root": {"name": "always_off", "options": {"fraction": 0.0}}}}
            sampler.name                          | string    | "always_off" | {"enum": ["always_on", "always_off", "trace_id_ratio", "parent_base"]}
            sampler.options                       | object... | {"fraction": 0.0, "root": {"name": "always_off", "options": {"fraction": 0.0}}}
            additional_attributes                 | array     |
            additional_attributes[]               | string    |  | {"minLength": 1}
            additional_header_prefix_attributes   | array     |
            additional_header_prefix_attributes[] | string    |  | {"minLength": 1}
        "#,
        refused: &[(
            r#"{"sampler": {"name": "x"}}"#,
            "property \"sampler\" validation failed: property \"name\" validation failed: matches none of the enum values",
        )],
    },
];
