//! Every endpoint, in the order in which the document lists them.

use axum::http::Method;

use super::answer::Told;
use super::endpoint::Endpoint;
use super::entrance::Right::{Administers, Changes, Reads};
use super::{audit, backup, explain, export, history, objects, openapi, plans, status, tokens, users};

/// The table.
pub(super) fn all() -> Vec<Endpoint> {
    let of_the_api = "it says what this API is, and nothing of what is configured";
    vec![
        Endpoint::public("/openapi.json", "openapi_json", of_the_api, "This document as JSON", |table| {
            Told::text("application/json", openapi::json(table))
        }),
        Endpoint::public("/openapi.yaml", "openapi_yaml", of_the_api, "This document as YAML", |table| {
            Told::text("application/yaml; charset=utf-8", openapi::yaml(table))
        }),
        Endpoint::new(
            Method::GET,
            "/status",
            "status",
            Reads,
            "How Usher and its store are, and who one is",
            status::read,
        ),
        Endpoint::new(
            Method::POST,
            "/status/accept",
            "accept_held",
            Administers,
            "Confirms the change of the store that the status tells as held",
            status::accept,
        ),
        Endpoint::new(
            Method::GET,
            "/objects/{kind}",
            "list_objects",
            Reads,
            "Objects of one kind",
            objects::list,
        ),
        Endpoint::new(Method::GET, "/objects/{kind}/{id}", "get_object", Reads, "One object", objects::read),
        Endpoint::new(
            Method::POST,
            "/plans",
            "create_plan",
            Changes,
            "Checks a set of changes, or a whole document, and says what it would do; nothing is changed",
            plans::create,
        )
        .creating()
        .conditional()
        .with_documents(),
        Endpoint::new(
            Method::GET,
            "/plans/{id}",
            "get_plan",
            Changes,
            "A plan that can still be applied",
            plans::read,
        ),
        Endpoint::new(
            Method::POST,
            "/plans/{id}/apply",
            "apply_plan",
            Changes,
            "Makes a plan real; a 2xx means durable and in force",
            plans::apply,
        )
        .conditional(),
        Endpoint::new(
            Method::GET,
            "/history",
            "history",
            Reads,
            "What was applied, newest first",
            history::read,
        ),
        Endpoint::new(
            Method::POST,
            "/undo",
            "undo",
            Changes,
            "A plan that takes a change back, to be applied like any other",
            plans::undo,
        )
        .creating(),
        Endpoint::new(
            Method::POST,
            "/explain",
            "explain",
            Reads,
            "Which way a request would take; nothing is sent",
            explain::explain,
        ),
        Endpoint::new(
            Method::GET,
            "/export",
            "export",
            Reads,
            "The configuration as a document that can be imported again",
            export::read,
        ),
        Endpoint::new(
            Method::GET,
            "/backup",
            "backup",
            Administers,
            "The whole store in one file, for usher restore; secrets in it stay sealed",
            backup::read,
        ),
        Endpoint::new(
            Method::GET,
            "/audit",
            "audit",
            Administers,
            "Everything that somebody did or was denied",
            audit::read,
        ),
        Endpoint::new(
            Method::GET,
            "/audit/export",
            "export_audit",
            Administers,
            "The same as lines of JSON",
            audit::export,
        ),
        Endpoint::new(
            Method::GET,
            "/audit/verify",
            "verify_audit",
            Administers,
            "Whether the audit is as it was written",
            audit::verify,
        ),
        Endpoint::new(Method::GET, "/tokens", "list_tokens", Administers, "All tokens", tokens::list),
        Endpoint::new(
            Method::POST,
            "/tokens",
            "create_token",
            Administers,
            "Makes a token, which is shown this once",
            tokens::create,
        )
        .creating(),
        Endpoint::new(
            Method::DELETE,
            "/tokens/{id}",
            "revoke_token",
            Administers,
            "Ends a token",
            tokens::revoke,
        ),
        Endpoint::new(
            Method::GET,
            "/users",
            "list_users",
            Administers,
            "All users of the console",
            users::list,
        ),
        Endpoint::new(
            Method::POST,
            "/users",
            "put_user",
            Administers,
            "Makes a user, or gives one another role and password",
            users::put,
        )
        .creating(),
        Endpoint::new(
            Method::DELETE,
            "/users/{name}",
            "delete_user",
            Administers,
            "Deletes a user",
            users::delete,
        ),
    ]
}
