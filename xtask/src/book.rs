//! `cargo xtask book`: the manual as a book, with the pages that lie beside what they tell of, and every link in it followed.
//!
//! Pages link to examples, to deploy/, and to files of the project, which lie outside of docs/. So the book is made of a copy that holds all of
//! them where they lie in the project, and a link leads to the same place on a screen as in the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::command::{command, root, run as run_command, say};
use crate::tools;

const HELP: &str = "usage: cargo xtask book

  Builds the manual with mdBook (installed where it isn't) into target/book/index.html, and follows every link in it.
";
/// What leads to the first page.
const FIRST: &str = "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>Usher</title>\n<meta http-equiv=\"refresh\" content=\"0; url=docs/introduction.html\">\n\
    <a href=\"docs/introduction.html\">Usher</a>\n";
/// Pages outside of docs/, which the table of contents of docs/ doesn't name.
const BESIDE: [(&str, &str); 7] = [
    ("What Usher is", "README.md"),
    ("Security", "SECURITY.md"),
    ("Changes", "CHANGELOG.md"),
    ("Contributing", "CONTRIBUTING.md"),
    ("Architecture", "ARCHITECTURE.md"),
    ("Style", "STYLE.md"),
    ("Deploying", "deploy/README.md"),
];

/// Builds it.
///
/// # Errors
/// mdBook can't be installed or fails; a link leads nowhere.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    if !words.is_empty() {
        return say(HELP.trim_end());
    }
    tools::ensure_mdbook()?;
    let stage = root().join("target/book-source");
    let pages = gather(&stage)?;
    let to = root().join("target/book");
    if to.exists() {
        fs::remove_dir_all(&to)?;
    }
    run_command(command("mdbook", &["build"]).current_dir(&stage))?;
    // mdBook copies the first page here as it is, with links that are meant for its folder.
    fs::write(to.join("index.html"), FIRST)?;
    let followed = follow(&to)?;
    say(&format!("{pages} pages, {followed} links followed: {}", to.join("index.html").display()))
}

/// Copies all that the book is made of, and tells how many pages there are.
fn gather(stage: &Path) -> anyhow::Result<usize> {
    if stage.exists() {
        fs::remove_dir_all(stage)?;
    }
    let mut summary = String::new();
    for line in text(&root().join("docs/SUMMARY.md"))?.lines() {
        // The same table of contents, seen from the root.
        summary += &line.replace("](", "](docs/");
        summary.push('\n');
    }
    summary += "\n# The project\n\n";
    for (title, page) in BESIDE {
        summary += &format!("- [{title}]({page})\n");
    }
    summary += "\n# Examples\n\n- [All of them](examples/README.md)\n";
    for example in folders(&root().join("examples"))? {
        if root().join("examples").join(&example).join("README.md").exists() {
            summary += &format!("  - [{example}](examples/{example}/README.md)\n");
        }
    }
    let mut left: Vec<String> = links(&summary);
    let pages = left.len();
    let mut copied = BTreeSet::new();
    while let Some(name) = left.pop() {
        if !copied.insert(name.clone()) {
            continue;
        }
        let (from, to) = (root().join(&name), stage.join("src").join(place(&name)));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        if !name.ends_with(".md") {
            fs::copy(&from, &to).with_context(|| format!("could not copy {name}"))?;
            continue;
        }
        let folder = Path::new(&name).parent().unwrap_or(Path::new(""));
        let page = text(&from)?;
        for target in links(&page) {
            let target = plain(&folder.join(target));
            let path = root().join(&target);
            if path.is_file() && !target.ends_with("SUMMARY.md") {
                left.push(target.display().to_string());
            } else if path.is_dir() {
                fs::create_dir_all(stage.join("src").join(&target))?;
            }
        }
        fs::write(&to, moved(&page, folder))?;
    }
    fs::write(stage.join("src/SUMMARY.md"), moved(&summary, Path::new("")))?;
    fs::write(stage.join("book.toml"), settings(&text(&root().join("book.toml"))?)?)?;
    Ok(pages)
}

/// Where a file lies in the book. mdBook makes a folder's index of a `README.md` without changing the links that lead to it, and the root's own
/// would take the place of the book's first page.
fn place(name: &str) -> String {
    match name.rsplit_once('/') {
        None if name == "README.md" => "about.md".to_owned(),
        Some((folder, "README.md")) => format!("{folder}/index.md"),
        _ => name.to_owned(),
    }
}

/// A page whose links lead where files lie in the book. The table of contents is no page there, so its place is taken by the first one.
fn moved(page: &str, folder: &Path) -> String {
    let mut found = String::with_capacity(page.len());
    let mut fenced = false;
    for line in page.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let mut parts = line.split("](");
        found += parts.next().unwrap_or_default();
        for part in parts {
            found += "](";
            let end = part.find([')', '#']).unwrap_or(part.len());
            let (target, rest) = part.split_at(end);
            let whole = plain(&folder.join(target));
            match target.rsplit_once('/').map_or(("", target), |(before, name)| (before, name)) {
                _ if fenced || target.contains(':') => found += target,
                (before, name @ ("README.md" | "SUMMARY.md")) => {
                    let slash = if before.is_empty() { "" } else { "/" };
                    let name = match name {
                        "SUMMARY.md" => "introduction.md",
                        _ if whole == Path::new("README.md") => "about.md",
                        _ => "index.md",
                    };
                    found += &format!("{before}{slash}{name}");
                }
                _ => found += target,
            }
            found += rest;
        }
        found.push('\n');
    }
    found
}

/// The settings of the book for the copy: another place to read from and to write to.
fn settings(text: &str) -> anyhow::Result<String> {
    let changed = text.replace("src = \"docs\"", "src = \"src\"").replace("\"target/book\"", "\"../book\"");
    if !changed.contains("src = \"src\"") || !changed.contains("\"../book\"") {
        bail!("book.toml has other folders than docs and target/book");
    }
    Ok(changed)
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

/// The names of the folders in this one.
fn folders(path: &Path) -> anyhow::Result<Vec<String>> {
    let mut found: Vec<String> = fs::read_dir(path)?
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    found.sort();
    Ok(found)
}

/// Where the links of a page lead, without anchors and other sites.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for target in line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !target.is_empty() && !target.contains(':') {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(found.pop()),
            Component::Normal(name) => found.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    found
}

/// Follows each link of each page that was built, and tells how many there are.
fn follow(book: &Path) -> anyhow::Result<usize> {
    let mut pages = BTreeMap::new();
    let mut left = vec![book.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder)?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|ending| ending == "html") {
                let text = text(&path)?;
                pages.insert(path, text);
            }
        }
    }
    let (mut followed, mut wrong) = (0, BTreeSet::new());
    for (page, text) in &pages {
        // These two are put together of others, whose links are looked at where they are.
        if ["print.html", "404.html", "toc.html"].iter().any(|name| page.ends_with(name)) {
            continue;
        }
        let folder = page.parent().unwrap_or(book);
        for target in text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains(':') {
                continue;
            }
            followed += 1;
            let path = if file.is_empty() { page.clone() } else { plain_below(folder, file) };
            let there = match pages.get(&path) {
                Some(text) => anchor.is_empty() || text.contains(&format!("id=\"{anchor}\"")),
                None => path.exists(),
            };
            if !there {
                wrong.insert(format!("{}: {target}", page.strip_prefix(book).unwrap_or(page).display()));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("links of the book that lead nowhere:\n{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
    }
    Ok(followed)
}

fn plain_below(folder: &Path, file: &str) -> PathBuf {
    Path::new("/").join(plain(&folder.join(file)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{follow, gather, links, moved, plain};
    use crate::command::root;

    #[test]
    fn the_copy_holds_every_page_of_the_tree_and_what_pages_link_to() {
        let stage = root().join("target/book-source-of-a-test");
        let pages = gather(&stage).unwrap();
        assert!(pages > 120, "{pages}");
        let copied = |name: &str| stage.join("src").join(name).exists();
        for name in ["docs/start.md", "examples/index.md", "deploy/index.md", "docker-compose.yml", "LICENSE"]
        {
            assert!(copied(name), "{name}");
        }
        let summary = std::fs::read_to_string(stage.join("src/SUMMARY.md")).unwrap();
        for page in links(&summary) {
            assert!(copied(&page), "{page}");
        }
        assert!(std::fs::read_to_string(stage.join("book.toml")).unwrap().contains("src = \"src\""));
        std::fs::remove_dir_all(&stage).unwrap();
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named() {
        let book = root().join("target/book-of-a-test");
        std::fs::create_dir_all(book.join("docs")).unwrap();
        std::fs::write(book.join("a.html"), "<h2 id=\"x\"></h2>").unwrap();
        let page = |text: &str| {
            std::fs::write(book.join("docs/b.html"), text).unwrap();
            follow(&book)
        };
        assert_eq!(page("<a href=\"../a.html#x\"></a> <a href=\"https://example.com/y\"></a>").unwrap(), 1);
        for target in ["../a.html#y", "c.html", "../../a.html"] {
            let told = page(&format!("<a href=\"{target}\"></a>")).unwrap_err().to_string();
            assert!(told.contains(&format!("docs/b.html: {target}")), "{told}");
        }
        std::fs::remove_dir_all(&book).unwrap();
    }

    #[test]
    fn links_follow_a_file_to_its_place_in_the_book() {
        for (folder, before, after) in [
            (
                "docs",
                "[a](../README.md#x), [b](../examples/README.md)",
                "[a](../about.md#x), [b](../examples/index.md)",
            ),
            ("", "[a](docs/SUMMARY.md) [b](docs/start.md)", "[a](docs/introduction.md) [b](docs/start.md)"),
            ("docs/plugins", "[a](README.md)", "[a](index.md)"),
            ("docs", "[a](https://example.com/README.md) `](`", "[a](https://example.com/README.md) `](`"),
        ] {
            assert_eq!(moved(before, Path::new(folder)), format!("{after}\n"), "{folder}");
        }
    }

    #[test]
    fn paths_are_made_plain() {
        assert_eq!(plain(Path::new("docs/moving/../../README.md")), Path::new("README.md"));
    }
}
