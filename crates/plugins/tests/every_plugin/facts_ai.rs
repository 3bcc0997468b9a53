//! What is known of the plugins for models.

use super::facts::Facts;
use super::facts_limits::{cluster, redis, sentinel};

const STREAMS: &[(&str, &str)] = &[
    (
        "body_filter",
        "what an answer cost is read from it as it passes; APISIX reads it where it asks the provider itself",
    ),
    ("mask", "what an answer cost is told before the first plugin logs"),
];

pub(crate) const AI: &[Facts] = &[
    Facts {
        name: "ai-prompt-decorator",
        priority: 1070,
        phases: "R",
        also: &[],
        fields: r#"
            prepend | array | 
            prepend[] | object |
            prepend[].role | string | ! | {"enum": ["system", "user", "assistant"]}
            prepend[].content | string | ! | {"minLength": 1}
            append | array | 
            append[] | object |
            append[].role | string | ! | {"enum": ["system", "user", "assistant"]}
            append[].content | string | ! | {"minLength": 1}
        "#,
        refused: &[(
            r#"{"prepend": [{"role": "robot", "content": "x"}]}"#,
            "property \"prepend\" validation failed: ...",
        )],
    },
    Facts {
        name: "ai-prompt-guard",
        priority: 1072,
        phases: "A",
        also: &[],
        fields: r#"
            match_all_roles | boolean | false
            match_all_conversation_history | boolean | false
            allow_patterns | array |
            allow_patterns[] | string |
            deny_patterns | array |
            deny_patterns[] | string |
            fail_mode | string | "skip" | {"enum": ["skip", "warn", "error"]}
        "#,
        refused: &[(r#"{"deny_patterns": ["("]}"#, "property \"deny_patterns\" validation failed: ...")],
    },
    Facts {
        name: "ai-prompt-template",
        priority: 1071,
        phases: "R",
        also: &[],
        fields: r#"
            max_req_body_size | integer | 67108864 | {"minimum": 1}
            templates | array | ! | {"minItems": 1}
            templates[] | object |
            templates[].name | string | ! | {"minLength": 1}
            templates[].template | object | !
            templates[].template.model | string |  | {"minLength": 1}
            templates[].template.messages | array |  | {"minItems": 1}
            templates[].template.messages[] | object |
            templates[].template.messages[].role | string | ! | {"enum": ["system", "user", "assistant"]}
            templates[].template.messages[].content | string | ! | {"minLength": 1}
        "#,
        refused: &[(r#"{}"#, "property \"templates\" is required")],
    },
    Facts {
        name: "ai-proxy",
        priority: 1040,
        phases: "A P L",
        also: STREAMS,
        fields: r#"
            provider | string | ! | {"enum": ["openai", "deepseek", "aimlapi", "anthropic", "openai-compatible", "azure-openai", "openrouter", "gemini", "vertex-ai", "bedrock"]}
            provider_conf | object |
            provider_conf.region | string |  | {"minLength": 1, "maxLength": 64, "pattern": "^[a-z0-9-]+$"}
            provider_conf.project_id | string |  | {"minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9:._-]+$"}
            auth | object... | !
            options | object... |
            override | object... |
            timeout | integer | 30000 | {"minimum": 1, "maximum": 600000}
            keepalive | boolean | true
            keepalive_timeout | integer | 60000 | {"minimum": 1000}
            keepalive_pool | integer | 30 | {"minimum": 1}
            ssl_verify | boolean | true
            logging | object... |
            max_req_body_size | integer | 67108864 | {"minimum": 1}
            max_stream_duration_ms | integer |  | {"minimum": 1}
            max_response_bytes | integer |  | {"minimum": 1}
            streaming_flush_interval_ms | integer | 10 | {"minimum": 0}
        "#,
        refused: &[
            (r#"{"auth": {}}"#, "property \"provider\" is required"),
            (r#"{"provider": "openai"}"#, "property \"auth\" is required"),
        ],
    },
    Facts {
        name: "ai-proxy-multi",
        priority: 1041,
        phases: "A P L",
        also: STREAMS,
        fields: r#"
            instances | array | ! | {"minItems": 1}
            instances[] | object |
            instances[].name | string | ! | {"minLength": 1, "maxLength": 100}
            instances[].weight | integer | ! | {"minimum": 0}
            instances[].priority | integer | 0
            instances[].checks | object |
            instances[].checks.active | object... | !
            instances[].provider | string | ! | {"enum": ["openai", "deepseek", "aimlapi", "anthropic", "openai-compatible", "azure-openai", "openrouter", "gemini", "vertex-ai", "bedrock"]}
            instances[].provider_conf | object |
            instances[].provider_conf.region | string |  | {"minLength": 1, "maxLength": 64, "pattern": "^[a-z0-9-]+$"}
            instances[].provider_conf.project_id | string |  | {"minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9:._-]+$"}
            instances[].examples | array |  | {"maxItems": 100}
            instances[].examples[] | string |  | {"minLength": 1, "maxLength": 2000}
            instances[].threshold | number |  | {"minimum": -1, "maximum": 1}
            instances[].catchall | boolean | false
            embeddings | object... |
            instances[].auth | object... | !
            instances[].options | object... |
            instances[].override | object... |
            balancer | object... | {"algorithm": "roundrobin", "hash_on": "vars"}
            fallback_strategy | array/string... |
            fallback_http_statuses | array |  | {"minItems": 1}
            fallback_http_statuses[] | integer |  | {"minimum": 400, "maximum": 599}
            max_retries | integer |  | {"minimum": 0}
            retry_on_failure_within_ms | integer |  | {"minimum": 1}
            timeout | integer | 30000 | {"minimum": 1, "maximum": 600000}
            keepalive | boolean | true
            keepalive_timeout | integer | 60000 | {"minimum": 1000}
            keepalive_pool | integer | 30 | {"minimum": 1}
            ssl_verify | boolean | true
            logging | object... |
            max_req_body_size | integer | 67108864 | {"minimum": 1}
            max_stream_duration_ms | integer |  | {"minimum": 1}
            max_response_bytes | integer |  | {"minimum": 1}
            streaming_flush_interval_ms | integer | 10 | {"minimum": 0}
        "#,
        refused: &[(r#"{}"#, "property \"instances\" is required")],
    },
    Facts {
        name: "ai-rate-limiting",
        priority: 1030,
        phases: "A L",
        also: &[
            ("header_filter", "the quota's headers are set when there is an answer to set them on"),
            ("rewrite", "ai-proxy-multi, which comes before it, asks it which instances have tokens left"),
        ],
        fields: concat!(
            r#"
            . | object |  | {"oneOf": [{"anyOf": [{"required": ["limit", "time_window"]}, {"required": ["instances"]}]}, {"required": ["rules"]}], "dependencies": {"limit": ["time_window"], "time_window": ["limit"]}}
            limit | integer/string... |
            time_window | integer/string... |
            instances | array |  | {"minItems": 1}
            instances[] | object |
            instances[].name | string | !
            instances[].limit | integer/string... | !
            instances[].time_window | integer/string... | !
            rules | array |
            rules[] | object |
            rules[].count | integer/string... | !
            rules[].time_window | integer/string... | !
            rules[].key | string | !
            rules[].header_prefix | string |
            limit_strategy | string | "total_tokens" | {"enum": ["total_tokens", "prompt_tokens", "completion_tokens", "expression"]}
            cost_expr | string |  | {"minLength": 1}
            rejected_code | integer | 503 | {"minimum": 200, "maximum": 599}
            rejected_msg | string |  | {"minLength": 1}
            show_limit_quota_header | boolean | true
            policy | string | "local" | {"enum": ["local", "redis", "redis-cluster", "redis-sentinel"]}
            allow_degradation | boolean | false
        "#,
            redis!(),
            cluster!(),
            sentinel!()
        ),
        refused: &[(
            r#"{"limit": 1, "time_window": 1, "policy": "redis"}"#,
            "property \"redis_host\" is required",
        )],
    },
];
