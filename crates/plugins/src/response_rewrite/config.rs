//! What a user writes for `response-rewrite`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::field_edits::response_schema;
use crate::pattern::Scope;
use crate::schema::{MAX_BODY_BYTES, number};

/// Changes answers on their way to the client: the upstream's, and those that the gateway makes.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("dependencies" = {
    "body": { "not": { "required": ["filters"] } },
    "filters": { "not": { "required": ["body"] } },
}))]
pub(super) struct Config {
    /// Header fields to `add` (`["Name: value"]`), `set` (`{"Name": "value"}`) and `remove` (`["Name"]`), in this order; or a plain object of
    /// fields to set. Values may hold variables.
    #[serde(default)]
    #[schemars(schema_with = "response_schema")]
    pub(super) headers: Option<Map<String, Value>>,
    /// The new body. `ETag`, `Last-Modified`, `Content-Encoding` and digests of the old one are taken away.
    pub(super) body: Option<String>,
    /// Whether `body` is written in base64, as for pictures.
    #[serde(default)]
    pub(super) body_base64: bool,
    /// The new status, 200 to 598.
    #[schemars(range(min = 200, max = 598))]
    pub(super) status_code: Option<u16>,
    /// An expression over variables, such as `[["status", "==", 500]]`; answers for which it is false are left alone.
    pub(super) vars: Option<Vec<Value>>,
    /// Replacements in the body, one after another; not together with `body`. A body in gzip, brotli or deflate is sent decoded; one in
    /// another coding is left alone.
    #[schemars(length(min = 1))]
    pub(super) filters: Option<Vec<Filter>>,
    /// The largest body that filters take, in bytes, at least 1; 10 MiB once decoded. A larger one is answered 502 or cut.
    #[serde(default = "number::<MAX_BODY_BYTES>")]
    #[schemars(range(min = 1))]
    pub(super) max_resp_body_size: u64,
}

/// One replacement in the body.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Filter {
    /// What to look for: a pattern.
    #[schemars(length(min = 1))]
    pub(super) regex: String,
    /// `once` replaces the first match, `global` all of them.
    #[serde(default)]
    pub(super) scope: Scope,
    /// What to put there; `$1` is the first group.
    pub(super) replace: String,
    /// Letters that change how the pattern is read, as in nginx: `i` ignores case, `m`, `s`, `x` and `a` as in PCRE; `j` and `o` mean nothing
    /// here.
    #[serde(default = "letters")]
    pub(super) options: String,
}

fn letters() -> String {
    "jo".to_owned()
}
