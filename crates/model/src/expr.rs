//! Expressions over variables, as `vars` and `_meta.filter` hold them (lua-resty-expr; data plane contract, section 3.4).

mod compare;
mod parse;
mod pattern;

use serde_json::Value;

use crate::variables::Variables;
use compare::Test;

/// An expression, parsed once.
#[derive(Clone, Debug)]
pub struct Expr(Node);

/// Why an expression can't be used; the text is APISIX's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadExpr(pub String);

#[derive(Clone, Debug)]
enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Test { variable: String, negated: bool, test: Test },
}

impl Expr {
    /// Parses `[[var, op, value], ...]`, also with `AND`, `OR`, `!AND`, `!OR` in front and nested.
    ///
    /// # Errors
    /// [`BadExpr`] with APISIX's sentence.
    pub fn parse(value: &Value) -> Result<Self, BadExpr> {
        parse::rules(value).map(Self)
    }

    /// Whether it is true of these variables. An empty expression is.
    #[must_use]
    pub fn eval(&self, variables: &dyn Variables) -> bool {
        self.0.eval(variables)
    }

    /// The names of the variables that it asks for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut names = Vec::new();
        self.0.collect(&mut names);
        names.into_iter()
    }

    /// The first condition that is false, as a person reads it: for explaining why a route was not taken.
    #[must_use]
    pub fn first_false(&self, variables: &dyn Variables) -> Option<String> {
        self.0.first_false(variables)
    }
}

impl Node {
    fn collect<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().for_each(|node| node.collect(names)),
            Self::Not(node) => node.collect(names),
            Self::Test { variable, .. } => names.push(variable),
        }
    }

    fn eval(&self, variables: &dyn Variables) -> bool {
        match self {
            Self::And(all) => all.iter().all(|node| node.eval(variables)),
            Self::Or(any) => any.iter().any(|node| node.eval(variables)),
            Self::Not(node) => !node.eval(variables),
            Self::Test { variable, negated, test } => test.holds(variable, variables) != *negated,
        }
    }

    fn first_false(&self, variables: &dyn Variables) -> Option<String> {
        if self.eval(variables) {
            return None;
        }
        Some(match self {
            Self::And(all) => all.iter().find_map(|node| node.first_false(variables))?,
            Self::Or(_) => "none of the conditions under OR holds".to_owned(),
            Self::Not(_) => "the negated conditions hold".to_owned(),
            Self::Test { variable, negated, test } => {
                let found = variables.variable(variable);
                let found = found.as_deref().map_or_else(|| "absent".into(), String::from_utf8_lossy);
                let not = if *negated { "not " } else { "" };
                format!("{variable} is {found}, wanted {not}{test}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::{Value, json};

    use super::Expr;
    use crate::variables::Variables;

    struct Fixed;

    impl Variables for Fixed {
        fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
            Some(match name {
                "arg_a" => b"1".as_slice().into(),
                "uri" => b"/Api/v1".as_slice().into(),
                "remote_addr" => b"10.1.2.3".as_slice().into(),
                "http_x" => b"abc".as_slice().into(),
                _ => return None,
            })
        }

        fn list(&self, name: &str) -> Option<Vec<Cow<'_, [u8]>>> {
            (name == "graphql_root_fields")
                .then(|| vec![b"user".as_slice().into(), b"posts".as_slice().into()])
        }
    }

    #[test]
    fn operators_compare_as_in_lua() {
        for (expr, wanted) in [
            (json!([]), true),
            (json!([["arg_a", "==", "1"]]), true),
            (json!([["arg_a", "==", 1]]), true),
            (json!([["arg_a", "==", "1.0"]]), false),
            (json!([["arg_a", "==", 1.0]]), true),
            (json!([["arg_a", "1"]]), true),
            (json!([["arg_b", "==", null]]), true),
            (json!([["arg_a", "~=", null]]), true),
            (json!([["http_x", "==", 1]]), false),
            (json!([["http_x", "~=", 1]]), true),
            (json!([["arg_a", ">", 0], ["arg_a", "<=", 1]]), true),
            (json!([["http_x", ">", 0]]), false),
            (json!([["arg_b", ">", 0]]), false),
            (json!([["uri", "~~", "^/Api"]]), true),
            (json!([["uri", "~~", "^/api"]]), false),
            (json!([["uri", "~*", "^/api"]]), true),
            (json!([["arg_b", "~~", ".*"]]), false),
            (json!([["uri", "~~", "^/(?!x)"]]), true),
            (json!([["http_x", "in", ["abc", "d"]]]), true),
            (json!([["http_x", "IN", ["d"]]]), false),
            (json!([["http_x", "!", "in", ["d"]]]), true),
            (json!([["graphql_root_fields", "has", "user"]]), true),
            (json!([["graphql_root_fields", "has", "x"]]), false),
            (json!([["remote_addr", "ipmatch", ["192.168.0.0/16", "10.0.0.0/8"]]]), true),
            (json!([["remote_addr", "ipmatch", "10.1.2.3"]]), true),
            (json!([["remote_addr", "!", "ipmatch", ["10.0.0.0/8"]]]), false),
            (json!(["OR", ["arg_a", "==", "2"], ["arg_a", "==", "1"]]), true),
            (json!(["AND", ["arg_a", "==", "2"], ["arg_a", "==", "1"]]), false),
            (json!(["!AND", ["arg_a", "==", "2"], ["arg_a", "==", "1"]]), true),
            (json!(["!OR", ["arg_a", "==", "2"], ["arg_a", "==", "3"]]), true),
            (
                json!([
                    ["OR", ["arg_a", "==", "9"], ["AND", ["arg_a", "1"], ["http_x", "abc"]]],
                    ["uri", "~~", "v1"]
                ]),
                true,
            ),
        ] {
            let parsed = Expr::parse(&expr).unwrap_or_else(|error| panic!("{expr}: {error}"));
            assert_eq!(parsed.eval(&Fixed), wanted, "{expr}");
            assert_eq!(parsed.first_false(&Fixed).is_none(), wanted, "{expr}");
        }
    }

    #[test]
    fn mistakes_get_the_sentence_of_the_contract() {
        for (expr, wanted) in [
            (json!([["arg_a", "=", "1"]]), "invalid operator '='"),
            (json!([["arg_a"]]), "rule too short"),
            (json!([["arg_a", "!", "=="]]), "bad 'not' expression"),
            (json!(["arg_a", "==", "1"]), "rule should be wrapped inside brackets"),
            (json!([7]), "rule should be wrapped inside brackets"),
            (json!(["OR", ["arg_a", "==", "1"]]), "rule too short"),
            (json!("x"), "invalid expression"),
        ] {
            assert_eq!(Expr::parse(&expr).map(drop).unwrap_err().to_string(), wanted, "{expr}");
        }
        for bad in
            [json!([["uri", "~~", "("]]), json!([["remote_addr", "ipmatch", "x"]]), json!([["a", "in", "b"]])]
        {
            assert!(Expr::parse(&bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_json_panics(text in "\\[(\\[?(\"[a-zA-Z=!~]{0,4}\"|1|null|\\[\\])(,(\"[a-z=!~]{0,4}\"|2|\\[\"a\"\\])){0,3}\\]?,?){0,3}\\]") {
            if let Ok(value) = serde_json::from_str::<Value>(&text)
                && let Ok(expr) = Expr::parse(&value)
            {
                let _ = expr.eval(&Fixed);
            }
        }
    }
}
