//! Lists of expressions of which one has to hold, as several plugins write them under `vars`.

use serde_json::Value;
use usher_model::expr::Expr;
use usher_model::variables::Variables;
use usher_pipeline::plugin::BuildError;

/// Expressions of which one has to hold; without any, all is well.
#[derive(Debug, Default)]
pub(crate) struct AnyOf(Vec<Expr>);

impl AnyOf {
    /// Reads a list of expressions.
    ///
    /// # Errors
    /// The sentence of the first that can't be used.
    pub(crate) fn parse(list: Option<&[Value]>) -> Result<Self, BuildError> {
        list.unwrap_or_default().iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of them holds.
    pub(crate) fn holds(&self, variables: &dyn Variables) -> bool {
        self.0.is_empty() || self.0.iter().any(|one| one.eval(variables))
    }
}

/// One expression.
///
/// # Errors
/// The sentence of what is wrong with it.
pub(crate) fn parse(value: &Value) -> Result<Expr, BuildError> {
    parse_field("vars", value)
}

/// One expression that is written under this name.
///
/// # Errors
/// The sentence of what is wrong with it.
pub(crate) fn parse_field(field: &str, value: &Value) -> Result<Expr, BuildError> {
    Expr::parse(value)
        .map_err(|error| BuildError::new(format!("failed to validate the '{field}' expression: {error}")))
}
