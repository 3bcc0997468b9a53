//! The manual's pages on plugins, as the console shows them: they lie in the binary, because a gateway may have no way to the Internet.

/// Each plugin's name with its page, in Markdown, in order.
static PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The page of a plugin.
pub(super) fn page(plugin: &str) -> Option<&'static str> {
    let at = PAGES.binary_search_by(|(name, _)| (*name).cmp(plugin)).ok()?;
    PAGES.get(at).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn every_plugin_has_a_page_and_nothing_else_has() {
        for spec in usher_plugins::all() {
            assert!(page(spec.name).is_some_and(|text| text.starts_with("# ")), "{}", spec.name);
        }
        assert_eq!(page("README"), None);
    }
}
