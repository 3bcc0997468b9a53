//! What an identity provider says of a user, handed from the plugin that asked it to those that judge by it.
//!
//! It is a variable of the request, so that expressions and logs can use it, too; no client can set it.

use serde_json::Value;
use usher_model::variables::Variables as _;
use usher_pipeline::exchange::Exchange;

/// The variable that holds it, as JSON.
const VARIABLE: &str = "external_user";

/// Keeps what is said of the user of this request.
pub(crate) fn keep(exchange: &mut Exchange, user: &Value) {
    exchange.set_variable(VARIABLE, user.to_string());
}

/// What is said of the user of this request.
pub(crate) fn kept(exchange: &Exchange) -> Option<Value> {
    serde_json::from_slice(&exchange.variable(VARIABLE)?).ok()
}
