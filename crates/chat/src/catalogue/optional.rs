//! The tools that are off until an operator switches their set on: each one costs every model tokens in every conversation, and few need them.

use std::sync::LazyLock;

use super::{Hints, Tool, inputs, outputs};

/// Tools that are switched on together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolset {
    /// `search` and `fetch`, as ChatGPT's deep research and company knowledge want them.
    Search,
    /// Which certificates there are, and when they end.
    Certificates,
    /// The configuration as a file.
    Exports,
    /// Which routes lead to models, and how they are limited.
    AiPlugins,
    /// Objects as the Admin API shows them.
    RawReads,
}

impl Toolset {
    /// All of them, with the words that `chat.toolsets` takes.
    pub const ALL: [(&str, Self); 5] = [
        ("search", Self::Search),
        ("certificates", Self::Certificates),
        ("exports", Self::Exports),
        ("ai-plugins", Self::AiPlugins),
        ("raw-reads", Self::RawReads),
    ];

    /// The set of this name.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, set)| *set)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, set)| *set == self).map_or("", |(name, _)| name)
    }
}

/// Every tool of a set, in the order in which lists show them, behind the others.
#[must_use]
pub fn optional() -> &'static [Tool] {
    static OPTIONAL: LazyLock<Vec<Tool>> = LazyLock::new(make);
    &OPTIONAL
}

fn make() -> Vec<Tool> {
    let tool = |set, name, title, description, input, output| Tool {
        name,
        title,
        description,
        hints: Hints::READS,
        input,
        output,
        set: Some(set),
    };
    vec![
        tool(
            Toolset::Search,
            "search",
            "Search",
            "Objects and recent changes that a text is about. fetch reads one by its id.",
            inputs::search(),
            outputs::search(),
        ),
        tool(
            Toolset::Search,
            "fetch",
            "Fetch",
            "One object or change by an id that search gave, secrets masked.",
            inputs::fetch(),
            outputs::fetch(),
        ),
        tool(
            Toolset::Certificates,
            "gateway_certificates",
            "Certificates",
            "Certificates, those that end first in front: names, end, whether they are in use. within_days: only those that end until then. Private keys are never shown.",
            inputs::certificates(),
            outputs::certificates(),
        ),
        tool(
            Toolset::Exports,
            "gateway_export",
            "Export",
            "The configuration as YAML of Usher or of APISIX, secrets masked; of some kinds, or of one label, where the whole is too long.",
            inputs::export(),
            outputs::export(),
        ),
        tool(
            Toolset::AiPlugins,
            "gateway_models",
            "Models behind the gateway",
            "Routes, services and plugin configs that lead to models: provider, model, token limits and prompt guards. No keys.",
            inputs::models(),
            outputs::models(),
        ),
        tool(
            Toolset::RawReads,
            "gateway_raw_get",
            "Raw read",
            "What the Admin API's GET shows at a path such as routes or routes/1, secrets masked. Lists go on with next.",
            inputs::raw_get(),
            outputs::raw_get(),
        ),
    ]
}
