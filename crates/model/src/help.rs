//! Which page of the manual helps whom an error stops: one table for the service API, the command line and the start.
//!
//! What an error says itself is enough most of the time, so only what needs a page has one. APISIX's own paths keep APISIX's sentences and name
//! none. A test follows each of these links.

/// Codes of the service API and occasions of the command line, each with the page, by its place in the project and in the Debian package, that
/// helps. No code is there twice.
pub const PAGES: &[(&str, &str)] = &[
    // Codes of the service API.
    ("unauthorized", "docs/cli.md#which-usher-and-with-which-key"),
    ("too_many_guesses", "docs/cli.md#which-usher-and-with-which-key"),
    ("forbidden", "docs/changes.md#scopes"),
    ("needs_person", "docs/changes.md#agree"),
    ("read_only", "docs/stores.md#roles"),
    ("unknown_plan", "docs/changes.md#plan"),
    ("stale", "docs/changes.md#plan"),
    ("conflict", "docs/service-api.md#nothing-is-written-over-what-one-hasnt-seen"),
    ("precondition_failed", "docs/service-api.md#nothing-is-written-over-what-one-hasnt-seen"),
    ("still_used", "docs/changes.md#plan"),
    ("nothing_to_undo", "docs/changes.md#undo"),
    ("needs_steps", "docs/stores.md#etcd"),
    ("partial", "docs/stores.md#etcd"),
    ("not_in_force", "docs/changes.md#apply-verify"),
    ("unknown_outcome", "docs/changes.md#history"),
    ("store_away", "docs/operating.md#is-it-well"),
    ("store_refused", "docs/stores.md#a-running-apisix"),
    ("disk_full", "docs/operating.md#is-it-well"),
    ("no_answer", "docs/causes.md"),
    ("internal", "docs/operating.md#is-it-well"),
    // Occasions of a start and of the command line.
    ("settings", "docs/settings.md#configyaml"),
    ("listeners", "docs/settings.md#command-line"),
    ("open_chat_side", "docs/agents.md#tokens"),
    ("open_admin_side", "docs/security-model.md#ports"),
    ("keys", "docs/settings.md#keys"),
    ("keyring", "docs/settings.md#keys"),
    ("store", "docs/stores.md"),
    ("restore", "docs/operating.md#backup-and-restore"),
    ("document", "docs/cli.md#changing"),
    ("away", "docs/cli.md#which-usher-and-with-which-key"),
];

/// The page that helps with this code or on this occasion, such as `docs/changes.md#agree`; `None` where the error itself says all.
#[must_use]
pub fn page(of: &str) -> Option<&'static str> {
    PAGES.iter().find(|(name, _)| *name == of).map(|(_, page)| *page)
}

#[cfg(test)]
mod tests {
    use super::{PAGES, page};

    #[test]
    fn every_occasion_has_one_page() {
        let mut names: Vec<&str> = PAGES.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PAGES.len());
        assert_eq!(page("needs_person"), Some("docs/changes.md#agree"));
        assert_eq!(page("nothing_to_change"), None);
    }
}
