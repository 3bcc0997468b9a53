//! What is known of the plugins that limit, from APISIX's contract.

use crate::facts::Facts;

macro_rules! redis {
    () => {
        r#"
            redis_host              | string         |     | {"minLength": 2}
            redis_port              | integer        | 6379 | {"minimum": 1}
            redis_username          | string         |     | {"minLength": 1}
            redis_password          | string         |
            redis_database          | integer        | 0
            redis_timeout           | integer        | 1000 | {"minimum": 1}
            redis_ssl               | boolean        | false
            redis_ssl_verify        | boolean        | false
            redis_keepalive_timeout | integer        | 10000 | {"minimum": 1000}
            redis_keepalive_pool    | integer        | 100 | {"minimum": 1}
        "#
    };
}

macro_rules! cluster {
    () => {
        r#"
            redis_cluster_nodes      | array         |     | {"minItems": 1}
            redis_cluster_nodes[]    | string        |     | {"minLength": 2, "maxLength": 100}
            redis_cluster_name       | string        |
            redis_cluster_ssl        | boolean       | false
            redis_cluster_ssl_verify | boolean       | false
        "#
    };
}

macro_rules! sentinel {
    () => {
        r#"
            redis_sentinels          | array         |     | {"minItems": 1}
            redis_sentinels[]        | object        |
            redis_sentinels[].host   | string        | !   | {"minLength": 2}
            redis_sentinels[].port   | integer       | !   | {"minimum": 1}
            redis_master_name        | string        |     | {"minLength": 1}
            redis_role               | string        | "master" | {"enum": ["master", "slave"]}
            redis_connect_timeout    | integer       | 1000 | {"minimum": 1}
            redis_read_timeout       | integer       | 1000 | {"minimum": 1}
            sentinel_username        | string        |
            sentinel_password        | string        |
        "#
    };
}

pub(crate) use {cluster, redis, sentinel};

pub(crate) const LIMITS: &[Facts] = &[
    Facts {
        name: "api-breaker",
        priority: 1005,
        phases: "A L",
        also: &[],
        fields: r#"
            break_response_code            | integer | ! | {"minimum": 200, "maximum": 599}
            break_response_body            | string  |
            break_response_headers         | array   |
            break_response_headers[]       | object  |
            break_response_headers[].key   | string  | ! | {"minLength": 1}
            break_response_headers[].value | string  | ! | {"minLength": 1}
            max_breaker_sec                | integer | 300 | {"minimum": 3}
            unhealthy                      | object  | {"http_statuses": [500], "failures": 3}
            unhealthy.http_statuses        | array   | [500] | {"minItems": 1, "uniqueItems": true}
            unhealthy.http_statuses[]      | integer |   | {"minimum": 500, "maximum": 599}
            unhealthy.failures             | integer | 3 | {"minimum": 1}
            healthy                        | object  | {"http_statuses": [200], "successes": 3}
            healthy.http_statuses          | array   | [200] | {"minItems": 1, "uniqueItems": true}
            healthy.http_statuses[]        | integer |   | {"minimum": 200, "maximum": 499}
            healthy.successes              | integer | 3 | {"minimum": 1}
        "#,
        refused: &[
            (r#"{}"#, "property \"break_response_code\" is required"),
            (
                r#"{"break_response_code": 502, "max_breaker_sec": 2}"#,
                "property \"max_breaker_sec\" validation failed: expected 2 to be at least 3",
            ),
        ],
    },
    Facts {
        name: "client-control",
        priority: 22000,
        phases: "R",
        also: &[],
        fields: r#"
            max_body_size | integer |
        "#,
        refused: &[(
            r#"{"max_body_size": -1}"#,
            "property \"max_body_size\" validation failed: expected -1 to be at least 0",
        )],
    },
    Facts {
        name: "limit-conn",
        priority: 1003,
        phases: "A L",
        also: &[],
        fields: concat!(
            r#"
            .                       | object         |     | {"oneOf": [{"required": ["conn", "burst", "key"]}, {"required": ["rules"]}]}
            conn                    | integer/string |     | {"exclusiveMinimum": 0}
            burst                   | integer/string |
            rules                   | array          |     | {"minItems": 1}
            rules[]                 | object         |
            rules[].conn            | integer/string | !   | {"exclusiveMinimum": 0}
            rules[].burst           | integer/string | !
            rules[].key             | string         | !
            default_conn_delay      | number         | !   | {"exclusiveMinimum": 0}
            only_use_default_delay  | boolean        | false
            key                     | string         |
            key_type                | string         | "var" | {"enum": ["var", "var_combination"]}
            rejected_code           | integer        | 503 | {"minimum": 200, "maximum": 599}
            rejected_msg            | string         |     | {"minLength": 1}
            policy                  | string         | "local" | {"enum": ["local", "redis", "redis-cluster"]}
            allow_degradation       | boolean        | false
            key_ttl                 | integer        | 3600 | {"minimum": 1}
        "#,
            redis!(),
            cluster!()
        ),
        refused: &[
            (r#"{"conn": 1, "burst": 0, "key": "a"}"#, "property \"default_conn_delay\" is required"),
            (
                r#"{"conn": 1, "burst": 0, "key": "a", "default_conn_delay": 1, "policy": "redis"}"#,
                "property \"redis_host\" is required",
            ),
        ],
    },
    Facts {
        name: "limit-count",
        priority: 1002,
        phases: "A",
        also: &[("header_filter", "the quota headers go on the answer, which isn't there before")],
        fields: concat!(
            r#"
            .                       | object         |     | {"oneOf": [{"required": ["count", "time_window"]}, {"required": ["rules"]}]}
            count                   | integer/string |     | {"exclusiveMinimum": 0}
            time_window             | integer/string |     | {"exclusiveMinimum": 0}
            window_type             | string         | "fixed" | {"enum": ["fixed", "sliding"]}
            rules                   | array          |
            rules[]                 | object         |
            rules[].count           | integer/string | !   | {"exclusiveMinimum": 0}
            rules[].time_window     | integer/string | !   | {"exclusiveMinimum": 0}
            rules[].key             | string         | !
            rules[].header_prefix   | string         |
            group                   | string         |
            key                     | string         | "remote_addr"
            key_type                | string         | "var" | {"enum": ["var", "var_combination", "constant"]}
            rejected_code           | integer        | 503 | {"minimum": 200, "maximum": 599}
            rejected_msg            | string         |     | {"minLength": 1}
            policy                  | string         | "local" | {"enum": ["local", "redis", "redis-cluster", "redis-sentinel"]}
            allow_degradation       | boolean        | false
            show_limit_quota_header | boolean        | true
            sync_interval           | number         | -1
        "#,
            redis!(),
            cluster!(),
            sentinel!()
        ),
        refused: &[
            (r#"{"time_window": 60}"#, "value should match only one schema, but matches none"),
            (
                r#"{"count": 0, "time_window": 60}"#,
                "property \"count\" validation failed: value should match only one schema, but matches none",
            ),
            (
                r#"{"count": 1, "time_window": 60, "rejected_code": 199}"#,
                "property \"rejected_code\" validation failed: expected 199 to be at least 200",
            ),
            (r#"{"count": 1, "time_window": 60, "policy": "redis"}"#, "property \"redis_host\" is required"),
        ],
    },
    Facts {
        name: "limit-req",
        priority: 1001,
        phases: "A",
        also: &[],
        fields: concat!(
            r#"
            rate                    | number         | !   | {"exclusiveMinimum": 0}
            burst                   | number         | !
            key                     | string         | !
            key_type                | string         | "var" | {"enum": ["var", "var_combination"]}
            nodelay                 | boolean        | false
            rejected_code           | integer        | 503 | {"minimum": 200, "maximum": 599}
            rejected_msg            | string         |     | {"minLength": 1}
            policy                  | string         | "local" | {"enum": ["local", "redis", "redis-cluster"]}
            allow_degradation       | boolean        | false
        "#,
            redis!(),
            cluster!()
        ),
        refused: &[
            (r#"{"burst": 0, "key": "a"}"#, "property \"rate\" is required"),
            (
                r#"{"rate": 1, "burst": 0, "key": "a", "policy": "redis-cluster"}"#,
                "property \"redis_cluster_nodes\" is required",
            ),
        ],
    },
    Facts {
        name: "workflow",
        priority: 1006,
        phases: "A L",
        also: &[("header_filter", "limit-count inside of it tells the client what is left, on the answer")],
        fields: r#"
            rules             | array    | !
            rules[]           | object   |
            rules[].case      | array    |   | {"minItems": 1}
            rules[].case[]    | any      |
            rules[].actions   | array... | !
        "#,
        refused: &[
            (r#"{}"#, "property \"rules\" is required"),
            (r#"{"rules": [{"actions": [["fly", {}]]}]}"#, "unsupported action: fly..."),
        ],
    },
];
