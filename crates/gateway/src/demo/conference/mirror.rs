//! `/anything/*`: tells what has arrived, so that one sees what a gateway made of a request.

use axum::Json;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, Method, Uri, Version};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// Method, path, query, header fields and body of the request. Fields that come several times are joined by commas.
pub(super) async fn tell(
    method: Method,
    uri: Uri,
    version: Version,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Value> {
    let mut fields = Map::new();
    for name in headers.keys() {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        fields.insert(name.as_str().to_owned(), Value::String(values.join(", ")));
    }
    Json(json!({
        "method": method.as_str(),
        "path": uri.path(),
        "query": query.unwrap_or_default(),
        "version": format!("{version:?}"),
        "headers": fields,
        "body": String::from_utf8_lossy(&body),
    }))
}
