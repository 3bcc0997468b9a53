//! What routes may ask of a GraphQL request: the kind and name of its first operation, and the fields at its root.

use apollo_parser::Parser;
use apollo_parser::cst::{Definition, Selection};

/// How deep a query may nest, and how many tokens it may have: beyond that it says nothing.
const DEEPEST: usize = 128;
const MOST_TOKENS: usize = 20_000;

/// The first operation of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// `query`, `mutation` or `subscription`.
    pub(super) kind: &'static str,
    /// Its name, or empty.
    pub(super) name: String,
    /// The fields at its root.
    pub(super) root_fields: Vec<String>,
}

impl Operation {
    /// The first operation of this document; `None` where it can't be read.
    pub(super) fn of(document: &str) -> Option<Self> {
        let tree = Parser::new(document).recursion_limit(DEEPEST).token_limit(MOST_TOKENS).parse();
        if tree.errors().len() > 0 {
            return None;
        }
        let operation = tree.document().definitions().find_map(|definition| match definition {
            Definition::OperationDefinition(operation) => Some(operation),
            _ => None,
        })?;
        let kind = match operation.operation_type() {
            Some(kind) if kind.mutation_token().is_some() => "mutation",
            Some(kind) if kind.subscription_token().is_some() => "subscription",
            _ => "query",
        };
        let selections = operation.selection_set()?.selections();
        let root_fields = selections.filter_map(|selection| match selection {
            Selection::Field(field) => Some(field.name()?.text().to_string()),
            Selection::FragmentSpread(_) | Selection::InlineFragment(_) => None,
        });
        Some(Self {
            kind,
            name: operation.name().map(|name| name.text().to_string()).unwrap_or_default(),
            root_fields: root_fields.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;

    #[test]
    fn the_first_operation_is_told_and_what_is_none_says_nothing() {
        for (document, wanted) in [
            ("{ a b: c { d } ...F ... on X { e } } fragment F on X { f }", Some(("query", "", "a c"))),
            ("fragment F on X { f } query Q($v: Int) @x { g(v: $v) }", Some(("query", "Q", "g"))),
            ("subscription { s } mutation M { m }", Some(("subscription", "", "s"))),
            ("", None),
            ("query {", None),
            ("type X { a: Int }", None),
        ] {
            let found = Operation::of(document);
            let found =
                found.as_ref().map(|found| (found.kind, found.name.as_str(), found.root_fields.join(" ")));
            assert_eq!(
                found,
                wanted.map(|(kind, name, fields)| (kind, name, fields.to_owned())),
                "{document}"
            );
        }
        let deep = format!("{}a{}", "{a".repeat(10_000), "}".repeat(10_000));
        let wide = format!("{{ {} }}", "a ".repeat(100_000));
        assert!(Operation::of(&deep).is_none() && Operation::of(&wide).is_none());
    }
}
