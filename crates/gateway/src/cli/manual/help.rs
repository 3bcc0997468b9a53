//! The pages that errors name: each is there, with its heading, and somebody names it; and each cause of an answer has its heading.

use usher_model::help::PAGES;
use usher_pipeline::cause::{What, Who};

use super::links::anchors;
use super::{files_below, root};

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_page_that_an_error_names_is_there() {
    for (of, place) in PAGES {
        let (name, anchor) = place.split_once('#').unwrap_or((place, ""));
        let text = page(name);
        assert!(
            anchor.is_empty() || anchors(&text).iter().any(|one| one == anchor),
            "{of}: {place} has no such heading"
        );
    }
}

#[test]
fn every_occasion_that_has_a_page_comes_up() {
    let sources: Vec<(String, String)> = files_below("crates", "rs");
    for (of, _) in PAGES {
        let quoted = format!("\"{of}\"");
        let mut others = sources.iter().filter(|(file, _)| !file.ends_with("model/src/help.rs"));
        assert!(others.any(|(_, text)| text.contains(&quoted)), "nothing asks for the page of {of}");
    }
}

#[test]
fn every_cause_has_a_heading_that_says_who_failed_and_at_what() {
    let text = page("docs/causes.md");
    let mut told = Vec::new();
    for part in text.split("\n## ").skip(1) {
        let (name, rest) = part.split_once('\n').unwrap();
        let what = What::ALL.iter().find(|what| what.name() == name);
        let what = what.unwrap_or_else(|| panic!("docs/causes.md: {name} is no cause"));
        let who = match what.who() {
            Who::Client => "Client",
            Who::Upstream => "Upstream",
            Who::Gateway => "Gateway",
        };
        let wanted = format!("*{who}: {}.*", what.sentence());
        assert!(rest.trim_start().starts_with(&wanted), "docs/causes.md: {name} has to begin with {wanted}");
        told.push(name);
    }
    let all: Vec<&str> = What::ALL.iter().map(|what| what.name()).collect();
    assert_eq!(told, all, "docs/causes.md tells of them in their own order");
}
