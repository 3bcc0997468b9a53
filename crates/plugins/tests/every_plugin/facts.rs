//! What is known of each plugin from APISIX's contract, written by hand: name, priority, phases, fields, and bodies that are refused.

/// One plugin.
pub(crate) struct Facts {
    pub(crate) name: &'static str,
    pub(crate) priority: i32,
    /// APISIX's letters: R rewrite, A access, P before_proxy, H header_filter, B body_filter, L log.
    pub(crate) phases: &'static str,
    /// Further phases of ours, each with the reason why APISIX needs none there.
    pub(crate) also: &'static [(&'static str, &'static str)],
    /// One field a line: path, type, `!` for required or the default or nothing, and bounds. `[]` steps into a list, `.` is the body itself, `a/b`
    /// is one of two types, and `...` leaves bounds and what lies below to other tests.
    pub(crate) fields: &'static str,
    /// Bodies that are refused, each with its sentence; `...` stands for what comes before or behind.
    pub(crate) refused: &'static [(&'static str, &'static str)],
}

pub(crate) const FACTS: &[Facts] = &[
    Facts {
        name: "cors",
        priority: 4000,
        phases: "R H",
        also: &[],
        fields: r#"
            allow_origins                   | string  | "*" | {"pattern": "^(\\*|\\*\\*|null|\\w+://[^,]+(,\\w+://[^,]+)*)$"}
            allow_methods                   | string  | "*"
            allow_headers                   | string  | "*"
            expose_headers                  | string  |
            max_age                         | integer | 5
            allow_credential                | boolean | false
            allow_origins_by_regex          | array   |     | {"minItems": 1, "uniqueItems": true}
            allow_origins_by_regex[]        | string  |     | {"minLength": 1, "maxLength": 4096}
            allow_origins_by_metadata       | array   |     | {"minItems": 1, "uniqueItems": true}
            allow_origins_by_metadata[]     | string  |     | {"minLength": 1, "maxLength": 4096}
            timing_allow_origins            | string  |     | {"pattern": "^(\\*|\\*\\*|null|\\w+://[^,]+(,\\w+://[^,]+)*)$"}
            timing_allow_origins_by_regex   | array   |     | {"minItems": 1, "uniqueItems": true}
            timing_allow_origins_by_regex[] | string  |     | {"minLength": 1, "maxLength": 4096}
        "#,
        refused: &[
            (
                r#"{"allow_origins": ""}"#,
                "property \"allow_origins\" validation failed: failed to match pattern ...",
            ),
            (
                r#"{"max_age": "1"}"#,
                "property \"max_age\" validation failed: wrong type: expected integer, got string",
            ),
            (
                r#"{"allow_credential": true}"#,
                "you can not set '*' for other option when 'allow_credential' is true",
            ),
        ],
    },
    Facts {
        name: "forward-auth",
        priority: 2002,
        phases: "A",
        also: &[],
        fields: r#"
            uri                | string    | !
            request_method     | string    | "GET"    | {"enum": ["GET", "POST"]}
            request_headers    | array     |
            request_headers[]  | string    |
            extra_headers      | object... |
            upstream_headers   | array     |
            upstream_headers[] | string    |
            client_headers     | array     |
            client_headers[]   | string    |
            status_on_error    | integer   | 403      | {"minimum": 200, "maximum": 599}
            allow_degradation  | boolean   | false
            timeout            | integer   | 3000     | {"minimum": 1, "maximum": 60000}
            ssl_verify         | boolean   | true
            keepalive          | boolean   | true
            keepalive_timeout  | integer   | 60000    | {"minimum": 1000}
            keepalive_pool     | integer   | 5        | {"minimum": 1}
            max_req_body_size  | integer   | 67108864 | {"minimum": 1}
        "#,
        refused: &[
            (r#"{}"#, "property \"uri\" is required"),
            (
                r#"{"uri": "http://a.test", "request_method": "PUT"}"#,
                "property \"request_method\" validation failed: matches none of the enum values",
            ),
            (
                r#"{"uri": "http://a.test", "timeout": 0}"#,
                "property \"timeout\" validation failed: expected 0 to be at least 1",
            ),
        ],
    },
    Facts {
        name: "ip-restriction",
        priority: 3000,
        phases: "A",
        also: &[],
        fields: r#"
            .             | object    |     | {"oneOf": [{"required": ["whitelist"]}, {"required": ["blacklist"]}]}
            whitelist     | array     |     | {"minItems": 1}
            whitelist[]   | string... |
            blacklist     | array     |     | {"minItems": 1}
            blacklist[]   | string... |
            message       | string    | "Your IP address is not allowed" | {"minLength": 1, "maxLength": 1024}
            response_code | integer   | 403 | {"enum": [403, 404]}
        "#,
        refused: &[
            (r#"{}"#, "value should match only one schema, but matches none"),
            (
                r#"{"whitelist": ["10.0.0.1"], "blacklist": ["10.0.0.2"]}"#,
                "value should match only one schema, but matches both schemas 1 and 2",
            ),
            (
                r#"{"whitelist": ["a.test"]}"#,
                "property \"whitelist\" validation failed: failed to validate item 1: object matches none of the required",
            ),
            (
                r#"{"whitelist": ["10.0.0.1"], "response_code": 70000}"#,
                "property \"response_code\" validation failed: matches none of the enum values",
            ),
            (r#"{"whitelist": ["1.2.3.400/8"]}"#, "invalid ip address: 1.2.3.400/8"),
        ],
    },
    Facts {
        name: "key-auth",
        priority: 2500,
        phases: "R",
        also: &[],
        fields: r#"
            header             | string  | "apikey"
            query              | string  | "apikey"
            hide_credentials   | boolean | false
            realm              | string  | "key"
            anonymous_consumer | string  |
        "#,
        refused: &[
            (
                r#"{"header": 1}"#,
                "property \"header\" validation failed: wrong type: expected string, got number",
            ),
            (
                r#"{"hide_credentials": "yes"}"#,
                "property \"hide_credentials\" validation failed: wrong type: expected boolean, got string",
            ),
        ],
    },
    Facts {
        name: "prometheus",
        priority: 500,
        phases: "L",
        also: &[],
        fields: r#"
            prefer_name | boolean | false
        "#,
        refused: &[(
            r#"{"prefer_name": 1}"#,
            "property \"prefer_name\" validation failed: wrong type: expected boolean, got number",
        )],
    },
    Facts {
        name: "proxy-cache",
        priority: 1085,
        phases: "A H B",
        also: &[(
            "log",
            "a fetch that others wait for ends with its request, also when the client went away",
        )],
        fields: r#"
            cache_strategy      | string  | "disk" | {"enum": ["disk", "memory"]}
            cache_zone          | string  | "disk_cache_one" | {"minLength": 1, "maxLength": 100}
            cache_key           | array   | ["$host", "$request_uri"] | {"minItems": 1}
            cache_key[]         | string  |        | {"pattern": "(^[^\\$].+$|^\\$[0-9a-zA-Z_]+$)"}
            cache_method        | array   | ["GET", "HEAD"] | {"minItems": 1, "uniqueItems": true}
            cache_method[]      | string  |        | {"enum": ["GET", "POST", "HEAD"]}
            cache_http_status   | array   | [200, 301, 404] | {"minItems": 1, "uniqueItems": true}
            cache_http_status[] | integer |        | {"minimum": 200, "maximum": 599}
            cache_ttl           | integer | 300    | {"minimum": 1}
            cache_bypass        | array   |        | {"minItems": 1}
            cache_bypass[]      | string  |        | {"pattern": "(^[^\\$].+$|^\\$[0-9a-zA-Z_]+$)"}
            no_cache            | array   |        | {"minItems": 1}
            no_cache[]          | string  |        | {"pattern": "(^[^\\$].+$|^\\$[0-9a-zA-Z_]+$)"}
            hide_cache_headers  | boolean | false
            cache_control       | boolean | false
            consumer_isolation  | boolean | true
            cache_set_cookie    | boolean | false
            max_resp_body_size  | integer | 67108864 | {"minimum": 1}
        "#,
        refused: &[
            (
                r#"{"cache_strategy": "memory", "cache_zone": "no_such_zone"}"#,
                "cache_zone no_such_zone not found...",
            ),
            (
                r#"{"cache_method": ["PUT"]}"#,
                "property \"cache_method\" validation failed: failed to validate item 1: matches none of the enum values",
            ),
        ],
    },
    Facts {
        name: "proxy-rewrite",
        priority: 1008,
        phases: "R",
        also: &[],
        fields: r#"
            .                           | object    |       | {"minProperties": 1}
            uri                         | string    |       | {"minLength": 1, "maxLength": 4096, "pattern": "^\\/.*"}
            regex_uri                   | array     |       | {"minItems": 2}
            regex_uri[]                 | string    |
            host                        | string    |       | {"pattern": "^[0-9a-zA-Z.-]+(:\\d{1,5})?$"}
            method                      | string    |       | {"enum": ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "MKCOL", "COPY", "MOVE", "PROPFIND", "LOCK", "UNLOCK", "PATCH", "TRACE"]}
            headers                     | object... |
            use_real_request_uri_unsafe | boolean   | false
        "#,
        refused: &[
            (r#"{}"#, "expect object to have at least 1 properties"),
            (
                r#"{"uri": "home"}"#,
                "property \"uri\" validation failed: failed to match pattern \"^\\/.*\" with \"home\"",
            ),
            (
                r#"{"method": "CONNECT"}"#,
                "property \"method\" validation failed: matches none of the enum values",
            ),
            (r#"{"regex_uri": ["^/a", "/b", "^/c"]}"#, "The length of regex_uri should be an even number"),
        ],
    },
    Facts {
        name: "redirect",
        priority: 900,
        phases: "R",
        also: &[],
        fields: r#"
            .                   | object  |       | {"oneOf": [{"required": ["uri"]}, {"required": ["regex_uri"]}, {"required": ["http_to_https"]}]}
            uri                 | string  |       | {"minLength": 2}
            regex_uri           | array   |       | {"minItems": 2, "maxItems": 2}
            regex_uri[]         | string  |
            http_to_https       | boolean |
            ret_code            | integer | 302   | {"minimum": 200}
            encode_uri          | boolean | false
            append_query_string | boolean | false
        "#,
        refused: &[
            (r#"{}"#, "value should match only one schema, but matches none"),
            (
                r#"{"uri": "/a", "ret_code": 199}"#,
                "property \"ret_code\" validation failed: expected 199 to be at least 200",
            ),
            (
                r#"{"http_to_https": true, "append_query_string": true}"#,
                "only one of `http_to_https` and `append_query_string` can be configured.",
            ),
        ],
    },
    Facts {
        name: "request-id",
        priority: 12015,
        phases: "R H",
        also: &[],
        fields: r#"
            header_name         | string  | "X-Request-Id"
            include_in_response | boolean | true
            algorithm           | string  | "uuid" | {"enum": ["uuid", "nanoid", "range_id", "ksuid", "uuidv7"]}
            range_id            | object  | {"length": 16, "char_set": "abcdefghijklmnopqrstuvwxyzABCDEFGHIGKLMNOPQRSTUVWXYZ0123456789"}
            range_id.length     | integer | 16     | {"minimum": 6}
            range_id.char_set   | string  | "abcdefghijklmnopqrstuvwxyzABCDEFGHIGKLMNOPQRSTUVWXYZ0123456789" | {"minLength": 6}
        "#,
        refused: &[
            (
                r#"{"algorithm": "serial"}"#,
                "property \"algorithm\" validation failed: matches none of the enum values",
            ),
            (
                r#"{"range_id": {"length": 5}}"#,
                "property \"range_id\" validation failed: property \"length\" validation failed: expected 5 to be at least 6",
            ),
        ],
    },
    Facts {
        name: "request-validation",
        priority: 2800,
        phases: "R",
        also: &[],
        fields: r#"
            .                 | object    |          | {"anyOf": [{"required": ["header_schema"]}, {"required": ["body_schema"]}]}
            header_schema     | object... |
            body_schema       | object... |
            rejected_code     | integer   | 400      | {"minimum": 200, "maximum": 599}
            rejected_msg      | string    |          | {"minLength": 1, "maxLength": 256}
            max_req_body_size | integer   | 67108864 | {"minimum": 1}
        "#,
        refused: &[
            (r#"{}"#, "object matches none of the required: [\"header_schema\"] or [\"body_schema\"]"),
            (r#"{"body_schema": {"type": "text"}}"#, "property \"body_schema\" can't be used: ..."),
            (
                r#"{"body_schema": {}, "rejected_code": 600}"#,
                "property \"rejected_code\" validation failed: expected 600 to be at most 599",
            ),
        ],
    },
    Facts {
        name: "response-rewrite",
        priority: 899,
        phases: "H B",
        also: &[],
        fields: r#"
            .                  | object    |          | {"dependencies": {"body": {"not": {"required": ["filters"]}}, "filters": {"not": {"required": ["body"]}}}}
            headers            | object... |
            body               | string    |
            body_base64        | boolean   | false
            status_code        | integer   |          | {"minimum": 200, "maximum": 598}
            vars               | array     |
            vars[]             | any       |
            filters            | array     |          | {"minItems": 1}
            filters[]          | object    |
            filters[].regex    | string    | !        | {"minLength": 1}
            filters[].scope    | string    | "once"   | {"enum": ["once", "global"]}
            filters[].replace  | string    | !
            filters[].options  | string    | "jo"
            max_resp_body_size | integer   | 67108864 | {"minimum": 1}
        "#,
        refused: &[
            (
                r#"{"status_code": 599}"#,
                "property \"status_code\" validation failed: expected 599 to be at most 598",
            ),
            (r#"{"body": "a*", "body_base64": true}"#, "invalid base64 content"),
            (
                r#"{"filters": [{"regex": "a"}]}"#,
                "property \"filters\" validation failed: failed to validate item 1: property \"replace\" is required",
            ),
            (
                r#"{"vars": [["status", "=", 1]]}"#,
                "failed to validate the 'vars' expression: invalid operator '='",
            ),
        ],
    },
    Facts {
        name: "serverless-post-function",
        priority: -2000,
        phases: "R A P H B L",
        also: &[],
        fields: r#"
            phase       | string | "access" | {"enum": ["rewrite", "access", "header_filter", "body_filter", "log", "before_proxy"]}
            functions   | array  | !        | {"minItems": 1}
            functions[] | string |
        "#,
        refused: &[
            (r#"{}"#, "property \"functions\" is required"),
            (
                r#"{"functions": []}"#,
                "property \"functions\" validation failed: expect array to have at least 1 items",
            ),
            (r#"{"functions": ["return 1"]}"#, "only accept Lua function, the input code type is number"),
            (r#"{"functions": ["return function("]}"#, "failed to loadstring: functions[0]:1: ..."),
        ],
    },
    Facts {
        name: "serverless-pre-function",
        priority: 10000,
        phases: "R A P H B L",
        also: &[],
        fields: r#"
            phase       | string | "access" | {"enum": ["rewrite", "access", "header_filter", "body_filter", "log", "before_proxy"]}
            functions   | array  | !        | {"minItems": 1}
            functions[] | string |
        "#,
        refused: &[
            (r#"{}"#, "property \"functions\" is required"),
            (
                r#"{"functions": []}"#,
                "property \"functions\" validation failed: expect array to have at least 1 items",
            ),
            (r#"{"functions": ["return 1"]}"#, "only accept Lua function, the input code type is number"),
            (r#"{"functions": ["return function("]}"#, "failed to loadstring: functions[0]:1: ..."),
        ],
    },
    Facts {
        name: "traffic-split",
        priority: 966,
        phases: "A",
        also: &[],
        fields: r#"
            rules                                  | array          |
            rules[]                                | object         |
            rules[].match                          | array          |
            rules[].match[]                        | object         |
            rules[].match[].vars                   | array          |
            rules[].match[].vars[]                 | any            |
            rules[].weighted_upstreams             | array          | [{"weight": 1}] | {"minItems": 1, "maxItems": 20}
            rules[].weighted_upstreams[]           | object         |
            rules[].weighted_upstreams[].upstream_id | string/integer |  | {"minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9-_.]+$", "minimum": 1}
            rules[].weighted_upstreams[].upstream  | object...      |
            rules[].weighted_upstreams[].weight    | integer        | 1 | {"minimum": 0}
        "#,
        refused: &[
            (
                r#"{"rules": [{"weighted_upstreams": []}]}"#,
                "property \"rules\" validation failed: failed to validate item 1: property \"weighted_upstreams\" validation failed: expect array to have at least 1 items",
            ),
            (
                r#"{"rules": [{"match": [{"vars": [["a", "=", 1]]}]}]}"#,
                "failed to validate the 'vars' expression: invalid operator '='",
            ),
            (
                r#"{"rules": [{"weighted_upstreams": [{"weight": 0}]}]}"#,
                "rules[1].weighted_upstreams: every weight is 0, so that requests could go nowhere; give one entry a weight above 0",
            ),
        ],
    },
];
