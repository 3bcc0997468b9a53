//! What is known of the plugins of authentication, authorization and security filters, in the form of `facts.rs`.

use crate::facts::Facts;

pub(crate) const AUTH_FACTS: &[Facts] = &[
    Facts {
        name: "acl",
        priority: 2410,
        phases: "A",
        also: &[],
        fields: r#"
            .                                   | object    |          | {"anyOf": [{"required": ["allow_labels"]}, {"required": ["deny_labels"]}], "allOf": [{"if": {"required": ["external_user_label_field_parser"], "properties": {"external_user_label_field_parser": {"const": "segmented_text"}}}, "then": {"required": ["external_user_label_field_separator"]}}]}
            external_user_label_field           | string    | "groups" | {"minLength": 1}
            external_user_label_field_key       | string    |          | {"minLength": 1}
            external_user_label_field_parser    | string    |          | {"enum": ["segmented_text", "json", "table"]}
            external_user_label_field_separator | string    |          | {"minLength": 1}
            allow_labels                        | object... |
            deny_labels                         | object... |
            rejected_code                       | integer   | 403      | {"minimum": 200, "maximum": 599}
            rejected_msg                        | string    |
        "#,
        refused: &[
            (r#"{}"#, "object matches none of the required: [\"allow_labels\"] or [\"deny_labels\"]"),
            (
                r#"{"allow_labels": {"a": ["b"]}, "rejected_code": 7}"#,
                "property \"rejected_code\" validation failed: expected 7 to be at least 200",
            ),
        ],
    },
    Facts {
        name: "attach-consumer-label",
        priority: 2399,
        phases: "P",
        also: &[],
        fields: r#"
            headers | object... | !
        "#,
        refused: &[(r#"{}"#, "property \"headers\" is required")],
    },
    Facts {
        name: "authz-casbin",
        priority: 2560,
        phases: "R",
        also: &[],
        fields: r#"
            .           | object |       | {"dependencies": {"model": ["policy"], "policy": ["model"]}}
            model_path  | string |
            policy_path | string |
            model       | string |
            policy      | string |
            username    | string | !
        "#,
        refused: &[(r#"{}"#, "property \"username\" is required")],
    },
    Facts {
        name: "authz-keycloak",
        priority: 2000,
        phases: "A",
        also: &[],
        fields: r#"
            .                              | object  |       | {"allOf": [{"anyOf": [{"required": ["discovery"]}, {"required": ["token_endpoint"]}]}, {"anyOf": [{"properties": {"lazy_load_paths": {"enum": [false]}}}, {"properties": {"lazy_load_paths": {"enum": [true]}}, "anyOf": [{"required": ["discovery"]}, {"required": ["resource_registration_endpoint"]}]}]}]}
            discovery                      | string  |       | {"minLength": 1, "maxLength": 4096}
            token_endpoint                 | string  |       | {"minLength": 1, "maxLength": 4096}
            resource_registration_endpoint | string  |       | {"minLength": 1, "maxLength": 4096}
            client_id                      | string  | !     | {"minLength": 1, "maxLength": 100}
            client_secret                  | string  |       | {"minLength": 1, "maxLength": 100}
            grant_type                     | string  | "urn:ietf:params:oauth:grant-type:uma-ticket" | {"enum": ["urn:ietf:params:oauth:grant-type:uma-ticket"]}
            policy_enforcement_mode        | string  | "ENFORCING" | {"enum": ["ENFORCING", "PERMISSIVE"]}
            permissions                    | array   |       | {"uniqueItems": true}
            permissions[]                  | string  |       | {"minLength": 1, "maxLength": 100}
            lazy_load_paths                | boolean | false
            http_method_as_scope           | boolean | false
            timeout                        | integer | 3000  | {"minimum": 1000}
            ssl_verify                     | boolean | true
            cache_ttl_seconds              | integer | 86400 | {"minimum": 1}
            keepalive                      | boolean | true
            keepalive_timeout              | integer | 60000 | {"minimum": 1000}
            keepalive_pool                 | integer | 5     | {"minimum": 1}
            access_denied_redirect_uri     | string  |       | {"minLength": 1, "maxLength": 2048}
            access_token_expires_in        | integer | 300   | {"minimum": 1}
            access_token_expires_leeway    | integer | 0
            refresh_token_expires_in       | integer | 3600  | {"minimum": 1}
            refresh_token_expires_leeway   | integer | 0
            password_grant_token_generation_incoming_uri | string  |       | {"minLength": 1, "maxLength": 4096}
            allow_plain_http               | boolean | false
        "#,
        refused: &[(r#"{"token_endpoint": "https://a.test"}"#, "property \"client_id\" is required")],
    },
    Facts {
        name: "basic-auth",
        priority: 2520,
        phases: "R",
        also: &[],
        fields: r#"
            hide_credentials   | boolean | false
            realm              | string  | "basic"
            anonymous_consumer | string  |
        "#,
        refused: &[(
            r#"{"hide_credentials": 1}"#,
            "property \"hide_credentials\" validation failed: wrong type: expected boolean, got number",
        )],
    },
    Facts {
        name: "consumer-restriction",
        priority: 2400,
        phases: "A",
        also: &[],
        fields: r#"
            .                              | object  |                 | {"anyOf": [{"required": ["blacklist"]}, {"required": ["whitelist"]}, {"required": ["allowed_by_methods"]}]}
            type                           | string  | "consumer_name" | {"enum": ["consumer_name", "consumer_group_id", "service_id", "route_id"]}
            blacklist                      | array   |                 | {"minItems": 1}
            blacklist[]                    | string  |
            whitelist                      | array   |                 | {"minItems": 1}
            whitelist[]                    | string  |
            allowed_by_methods             | array   |
            allowed_by_methods[]           | object  |
            allowed_by_methods[].user      | string  |
            allowed_by_methods[].methods   | array   |                 | {"minItems": 1}
            allowed_by_methods[].methods[] | string  |                 | {"enum": ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"]}
            rejected_code                  | integer | 403             | {"minimum": 200, "maximum": 599}
            rejected_msg                   | string  |
        "#,
        refused: &[(
            r#"{"type": "user", "whitelist": ["a"]}"#,
            "property \"type\" validation failed: matches none of the enum values",
        )],
    },
    Facts {
        name: "csrf",
        priority: 2980,
        phases: "A H",
        also: &[],
        fields: r#"
            key     | string  | ! | {"minLength": 1}
            expires | integer | 7200
            name    | string  | "apisix-csrf-token"
        "#,
        refused: &[(r#"{}"#, "property \"key\" is required")],
    },
    Facts {
        name: "hmac-auth",
        priority: 2530,
        phases: "R",
        also: &[],
        fields: r#"
            allowed_algorithms    | array   | ["hmac-sha1", "hmac-sha256", "hmac-sha512"] | {"minItems": 1}
            allowed_algorithms[]  | string  |          | {"enum": ["hmac-sha1", "hmac-sha256", "hmac-sha512"]}
            clock_skew            | integer | 300
            signed_headers        | array   |
            signed_headers[]      | string  |          | {"minLength": 1, "maxLength": 50}
            validate_request_body | boolean | false
            max_req_body_size     | integer | 67108864 | {"minimum": 1}
            hide_credentials      | boolean | false
            realm                 | string  | "hmac"
            anonymous_consumer    | string  |
        "#,
        refused: &[(
            r#"{"clock_skew": -1}"#,
            "property \"clock_skew\" validation failed: expected -1 to be at least 0",
        )],
    },
    Facts {
        name: "jwe-decrypt",
        priority: 2509,
        phases: "R",
        also: &[],
        fields: r#"
            header         | string  | "Authorization"
            forward_header | string  | "Authorization"
            strict         | boolean | true
        "#,
        refused: &[(
            r#"{"strict": "yes"}"#,
            "property \"strict\" validation failed: wrong type: expected boolean, got string",
        )],
    },
    Facts {
        name: "jwt-auth",
        priority: 2510,
        phases: "R",
        also: &[],
        fields: r#"
            header             | string  | "authorization"
            query              | string  | "jwt"
            cookie             | string  | "jwt"
            hide_credentials   | boolean | false
            key_claim_name     | string  | "key" | {"minLength": 1, "maxLength": 256}
            store_in_ctx       | boolean | false
            realm              | string  | "jwt"
            anonymous_consumer | string  |
            claims_to_verify   | array   |       | {"uniqueItems": true}
            claims_to_verify[] | string  |       | {"enum": ["exp", "nbf"]}
        "#,
        refused: &[(
            r#"{"claims_to_verify": ["aud"]}"#,
            "property \"claims_to_verify\" validation failed: failed to validate item 1: matches none of the enum values",
        )],
    },
    Facts {
        name: "ldap-auth",
        priority: 2540,
        phases: "R",
        also: &[],
        fields: r#"
            base_dn          | string  | !
            ldap_uri         | string  | !
            use_tls          | boolean |
            tls_verify       | boolean | true
            uid              | string  | "cn"
            hide_credentials | boolean | false
            realm            | string  | "ldap"
        "#,
        refused: &[(r#"{"base_dn": "dc=a"}"#, "property \"ldap_uri\" is required")],
    },
    Facts {
        name: "multi-auth",
        priority: 2600,
        phases: "R",
        also: &[],
        fields: r#"
            auth_plugins   | array  | ! | {"minItems": 2}
            auth_plugins[] | object |
        "#,
        refused: &[
            (r#"{}"#, "property \"auth_plugins\" is required"),
            (r#"{"auth_plugins": [{"cors": {}}, {"cors": {}}]}"#, "cors plugin is not supported"),
        ],
    },
    Facts {
        name: "oas-validator",
        priority: 512,
        phases: "A",
        also: &[],
        fields: r#"
            .                              | object  |       | {"oneOf": [{"required": ["spec"]}, {"required": ["spec_url"]}]}
            spec                           | string  |       | {"minLength": 1}
            spec_url                       | string  |       | {"pattern": "^https?://"}
            spec_url_request_headers       | object  |
            ssl_verify                     | boolean | true
            timeout                        | integer | 10000 | {"minimum": 1000, "maximum": 60000}
            verbose_errors                 | boolean | false
            skip_request_body_validation   | boolean | false
            skip_request_header_validation | boolean | false
            skip_query_param_validation    | boolean | false
            skip_path_params_validation    | boolean | false
            reject_if_not_match            | boolean | true
            rejection_status_code          | integer | 400   | {"minimum": 400, "maximum": 599}
        "#,
        refused: &[
            (r#"{}"#, "value should match only one schema, but matches none"),
            (
                r#"{"spec": "x"}"#,
                "property \"spec\" validation failed: invalid JSON string provided, err: ...",
            ),
        ],
    },
    Facts {
        name: "opa",
        priority: 2001,
        phases: "A",
        also: &[],
        fields: r#"
            host                    | string  | !
            ssl_verify              | boolean | true
            policy                  | string  | !
            timeout                 | integer | 3000  | {"minimum": 1, "maximum": 60000}
            keepalive               | boolean | true
            keepalive_timeout       | integer | 60000 | {"minimum": 1000}
            keepalive_pool          | integer | 5     | {"minimum": 1}
            with_route              | boolean | false
            with_service            | boolean | false
            with_consumer           | boolean | false
            send_headers_upstream   | array   |       | {"minItems": 1}
            send_headers_upstream[] | string  |
        "#,
        refused: &[(r#"{"host": "http://a.test"}"#, "property \"policy\" is required")],
    },
    Facts {
        name: "openid-connect",
        priority: 2599,
        phases: "R",
        also: &[("header_filter", "a renewed session goes to the browser as a cookie of the answer")],
        fields: r#"
            client_id                            | string  | !
            client_secret                        | string  |
            discovery                            | string  | !
            scope                                | string  | "openid"
            bearer_only                          | boolean | false
            session                              | object  |
            session.secret                       | string  | !         | {"minLength": 16}
            session.cookie                       | object  |
            session.cookie.lifetime              | integer |
            session.cookie_name                  | string  | "session"
            session.cookie_path                  | string  | "/"
            session.cookie_domain                | string  |
            session.cookie_http_only             | boolean | true
            session.cookie_secure                | boolean |
            session.cookie_same_site             | string  | "Lax"     | {"enum": ["Strict", "Lax", "None", "Default"]}
            session.idling_timeout               | integer | 900
            session.rolling_timeout              | integer | 3600
            session.absolute_timeout             | integer | 86400
            session.storage                      | string  | "cookie"  | {"enum": ["cookie", "redis"]}
            session.redis                        | object  |
            session.redis.host                   | string  | "127.0.0.1" | {"minLength": 1}
            session.redis.port                   | integer | 6379      | {"minimum": 1}
            session.redis.username               | string  |
            session.redis.password               | string  |
            session.redis.database               | integer | 0
            session.redis.prefix                 | string  | "sessions"
            session.redis.ssl                    | boolean | false
            session.redis.ssl_verify             | boolean | true
            session.redis.server_name            | string  |
            session.redis.connect_timeout        | integer | 1000      | {"minimum": 1}
            session.redis.send_timeout           | integer | 1000      | {"minimum": 1}
            session.redis.read_timeout           | integer | 1000      | {"minimum": 1}
            session.redis.keepalive_timeout      | integer | 10000     | {"minimum": 1000}
            realm                                | string  | "apisix"
            redirect_uri                         | string  |
            logout_path                          | string  | "/logout"
            post_logout_redirect_uri             | string  |
            unauth_action                        | string  | "auth"    | {"enum": ["auth", "deny", "pass"]}
            introspection_endpoint               | string  |
            introspection_endpoint_auth_method   | string  | "client_secret_basic" | {"enum": ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"]}
            token_endpoint_auth_method           | string  |           | {"enum": ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"]}
            introspection_interval               | integer | 0
            public_key                           | string  |
            use_jwks                             | boolean | false
            token_signing_alg_values_expected    | string  |           | {"enum": ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"]}
            use_pkce                             | boolean | false
            required_scopes                      | array   |
            required_scopes[]                    | string  |
            claim_validator                      | object  |
            claim_validator.issuer               | object  |
            claim_validator.issuer.valid_issuers | array   |
            claim_validator.issuer.valid_issuers[] | string |
            claim_validator.audience             | object  |
            claim_validator.audience.claim       | string  | "aud"
            claim_validator.audience.required    | boolean | false
            claim_validator.audience.match_with_client_id | boolean | false
            claim_schema                         | object  |
            set_access_token_header              | boolean | true
            access_token_in_authorization_header | boolean | false
            set_id_token_header                  | boolean | true
            set_raw_id_token_header              | boolean | false
            set_userinfo_header                  | boolean | true
            set_refresh_token_header             | boolean | false
            ssl_verify                           | boolean/string | true | {"enum": ["no"]}
            timeout                              | integer | 3         | {"minimum": 1}
            authorization_params                 | object  |
            renew_access_token_on_expiry         | boolean | true
            access_token_expires_in              | integer |           | {"minimum": 1}
            access_token_expires_leeway          | integer | 0
            use_nonce                            | boolean | false
            accept_unsupported_alg               | boolean | true
            accept_none_alg                      | boolean | false
            iat_slack                            | integer | 120
            jwk_expires_in                       | integer | 86400     | {"minimum": 1}
            allow_plain_http                     | boolean | false
            proxy_opts                           | any     |
            par                                  | object  |
            par.enabled                          | boolean | false
            par.endpoint                         | string  |
            par.endpoint_auth_method             | string  |           | {"enum": ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"]}
            dpop                                 | object  |
            dpop.enabled                         | boolean | false
            client_rsa_private_key               | string  |
            client_rsa_private_key_id            | string  |
            client_jwt_assertion_alg             | string  |           | {"enum": ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"]}
            client_jwt_assertion_expires_in      | integer | 60        | {"minimum": 1}
            client_jwt_assertion_audience        | string  |
            revoke_tokens_on_logout              | boolean | false
            introspection_addon_headers          | array   |           | {"minItems": 1}
            introspection_addon_headers[]        | string  |           | {"pattern": "^[^:]+$"}
            introspection_expiry_claim           | string  | "exp"
            jwt_verification_cache_ignore        | boolean | false
            cache_segment                        | string  |
            refresh_session_interval             | integer |
            force_reauthorize                    | boolean | false
        "#,
        refused: &[
            (r#"{"client_id": "a"}"#, "property \"discovery\" is required"),
            (
                r#"{"client_id": "a", "discovery": "https://a.test", "use_jwks": true}"#,
                "property \"client_secret\" is required",
            ),
        ],
    },
    Facts {
        name: "referer-restriction",
        priority: 2990,
        phases: "A",
        also: &[],
        fields: r#"
            .              | object  |       | {"oneOf": [{"required": ["whitelist"]}, {"required": ["blacklist"]}]}
            bypass_missing | boolean | false
            whitelist      | array   |       | {"minItems": 1}
            whitelist[]    | string  |       | {"pattern": "^\\*$|^\\*?[0-9a-zA-Z-._\\[\\]:]+$"}
            blacklist      | array   |       | {"minItems": 1}
            blacklist[]    | string  |       | {"pattern": "^\\*$|^\\*?[0-9a-zA-Z-._\\[\\]:]+$"}
            message        | string  | "Your referer host is not allowed" | {"minLength": 1, "maxLength": 1024}
        "#,
        refused: &[(r#"{}"#, "value should match only one schema, but matches none")],
    },
    Facts {
        name: "ua-restriction",
        priority: 2999,
        phases: "A",
        also: &[],
        fields: r#"
            .              | object  |       | {"oneOf": [{"required": ["allowlist"]}, {"required": ["denylist"]}]}
            bypass_missing | boolean | false
            allowlist      | array   |       | {"minItems": 1}
            allowlist[]    | string  |       | {"minLength": 1}
            denylist       | array   |       | {"minItems": 1}
            denylist[]     | string  |       | {"minLength": 1}
            message        | string  | "Not allowed" | {"minLength": 1, "maxLength": 1024}
        "#,
        refused: &[(
            r#"{"allowlist": ["a"], "denylist": ["b"]}"#,
            "value should match only one schema, but matches both schemas 1 and 2",
        )],
    },
    Facts {
        name: "uri-blocker",
        priority: 2900,
        phases: "R",
        also: &[],
        fields: r#"
            block_rules      | array   | !     | {"uniqueItems": true}
            block_rules[]    | string  |       | {"minLength": 1, "maxLength": 4096}
            rejected_code    | integer | 403   | {"minimum": 200, "maximum": 599}
            rejected_msg     | string  |       | {"minLength": 1}
            case_insensitive | boolean | false
        "#,
        refused: &[(r#"{}"#, "property \"block_rules\" is required")],
    },
];
