//! Links between pages: each leads to a file, and to a heading where it names one; and each page of the book is in its table of contents.

use std::collections::BTreeMap;

use super::{files_below, keep, pages, root};

/// Targets of links in a page's sentences, with their line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, behind)) = after.split_once(')') else { break };
            found.push((at + 1, target.to_owned()));
            rest = behind;
        }
    }
    found
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut seen = BTreeMap::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let heading = line.trim_start_matches('#');
        if fenced || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                _ => letter.is_alphanumeric().then_some(letter),
            })
            .collect();
        let again = seen.entry(anchor.clone()).or_insert(0);
        found.push(if *again == 0 { anchor } else { format!("{anchor}-{again}") });
        *again += 1;
    }
    found
}

#[test]
fn every_link_of_the_manual_leads_somewhere() {
    let pages: BTreeMap<String, String> = pages().into_iter().collect();
    let root = root();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (page, text) in &pages {
        let folder = root.join(page).parent().unwrap().to_owned();
        for (line, target) in links(text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if file.is_empty() { root.join(page) } else { folder.join(file) };
            let Ok(path) = path.canonicalize() else {
                wrong.push(format!("{page}:{line}: {target} is not there"));
                continue;
            };
            let Ok(name) = path.strip_prefix(&root) else {
                wrong.push(format!("{page}:{line}: {target} lies outside of the project"));
                continue;
            };
            let there = pages.get(&name.display().to_string());
            if !anchor.is_empty() && !there.is_some_and(|text| anchors(text).iter().any(|one| one == anchor))
            {
                wrong.push(format!("{page}:{line}: {target} has no such heading"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "only {count} links were found");
}

#[test]
fn every_test_that_the_security_page_names_is_there() {
    let page = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let mut sources: Vec<(String, String)> = files_below("crates", "rs");
    sources.extend(files_below("xtask", "rs"));
    let mut count = 0;
    for line in page.lines().filter(|line| line.starts_with('|')) {
        for name in
            line.split('`').skip(1).step_by(2).filter(|name| name.len() > 20 && !name.contains([' ', '/']))
        {
            let declared = format!("fn {name}(");
            assert!(
                sources.iter().any(|(_, text)| text.contains(&declared)),
                "SECURITY.md: there is no test {name}"
            );
            count += 1;
        }
    }
    assert!(count > 50, "only {count} tests are named");
}

/// Between these lines of the table of contents stand the pages of plugins, which are made of their sources.
const PLUGINS: (&str, &str) = ("  <!-- plugins: made by a test -->\n", "  <!-- end of plugins -->\n");
/// And between these the pages that no section names, so that a new one is in the book before somebody finds its place.
const OTHERS: (&str, &str) = ("<!-- other pages: made by a test -->\n", "<!-- end of other pages -->\n");

#[test]
fn every_page_is_in_the_book() {
    const NAME: &str = "docs/SUMMARY.md";
    let book = files_below("docs", "md");
    let pages = || book.iter().map(|(path, text)| (path.strip_prefix("docs/").unwrap(), text));
    let mut plugins = String::new();
    for (page, _) in pages().filter(|(page, _)| page.starts_with("plugins/") && *page != "plugins/README.md")
    {
        let name = page.trim_start_matches("plugins/").trim_end_matches(".md");
        plugins += &format!("  - [{name}]({page})\n");
    }
    let summary = std::fs::read_to_string(root().join(NAME)).unwrap();
    let summary = between(&between(&summary, PLUGINS, &plugins), OTHERS, "");
    let listed: Vec<String> = links(&summary).into_iter().map(|(_, target)| target).collect();
    let mut others = String::new();
    for (page, text) in pages().filter(|(page, _)| *page != "SUMMARY.md") {
        let times = listed.iter().filter(|target| *target == page).count();
        assert!(times < 2, "{page} is {times} times in {NAME}");
        if times == 0 {
            let title = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(page);
            others += &format!("- [{title}]({page})\n");
        }
    }
    keep(NAME, &between(&summary, OTHERS, &others));
}

/// A text with other lines between two of its lines.
fn between(text: &str, (first, last): (&str, &str), lines: &str) -> String {
    let (before, rest) = text.split_once(first).unwrap();
    let (_, after) = rest.split_once(last).unwrap();
    format!("{before}{first}{lines}{last}{after}")
}

#[test]
fn every_file_that_a_page_names_is_there() {
    const FOLDERS: [&str; 7] = ["crates/", "docs/", "deploy/", "examples/", "xtask/", "fuzz/", "bench/"];
    let root = root();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (page, text) in pages() {
        for name in text.split('`').skip(1).step_by(2) {
            // A pattern, a command or a text with a gap names no one file.
            let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
            if plain && FOLDERS.iter().any(|folder| name.starts_with(folder)) {
                count += 1;
                if !root.join(name).exists() && !root.join(format!("{name}.rs")).exists() {
                    wrong.push(format!("{page}: there is no {name}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 40, "only {count} files were found");
}

#[test]
fn anchors_are_made_as_github_makes_them() {
    let text = "# A `page`: of two, words\n\n## x_y\n## x_y\n```\n# no\n```\n";
    assert_eq!(anchors(text), ["a-page-of-two-words", "x_y", "x_y-1"]);
}
