//! Every `usher ...` that the manual shows is one that the program takes; and the page of all commands, made of the program itself.

use clap::error::ErrorKind;
use clap::{Command, CommandFactory as _, Parser as _};

use super::blocks::blocks;
use super::{keep, pages};
use crate::cli::Cli;

/// Languages of blocks that are typed into a shell.
const SHELL: &[&str] = &["console", "sh", "bash", "shell", ""];

#[test]
fn every_command_of_the_manual_is_one() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (page, text) in pages() {
        for block in blocks(&page, &text) {
            if !SHELL.contains(&block.language.as_str()) {
                continue;
            }
            for line in block.text.replace("\\\n", " ").lines() {
                let Some(words) = command(line) else { continue };
                count += 1;
                if let Err(why) = parse(&words) {
                    wrong.push(format!("{}: {line}: {why}", block.place));
                }
            }
        }
        for span in spans(&text) {
            let Some(words) = command(&span) else { continue };
            count += 1;
            match parse(&words) {
                // In a sentence a command stands for itself, without what it needs.
                Ok(())
                | Err(
                    ErrorKind::MissingRequiredArgument
                    | ErrorKind::MissingSubcommand
                    | ErrorKind::InvalidValue
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                ) => {}
                Err(why) => wrong.push(format!("{page}: `{span}`: {why}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "only {count} commands were found");
}

fn parse(words: &[String]) -> Result<(), ErrorKind> {
    match Cli::try_parse_from(words) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => Ok(()),
        Err(error) => Err(error.kind()),
    }
}

/// The words of a line that calls `usher`, perhaps behind a prompt and assignments; `None` for any other line.
fn command(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    let words = words(line.strip_prefix("$ ").unwrap_or(line));
    let start = words.iter().position(|word| !is_assignment(word))?;
    let words = words.get(start..)?;
    let shown_in_part = words.iter().any(|word| word == "..." || word.starts_with('['));
    (words.len() > 1 && words.first()? == "usher" && !shown_in_part).then(|| words.to_vec())
}

fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    !name.is_empty() && name.chars().all(|one| one.is_ascii_uppercase() || one == '_')
}

/// A line split as a shell does, up to a pipe, a redirection or a remark.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '(') if word.as_ref().is_some_and(|word| word.ends_with('$')) => {
                // What another command prints belongs to the word.
                word.get_or_insert_default().extend(letters.by_ref().take_while(|letter| *letter != ')'));
            }
            (Some(open), _) if letter == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(letter),
            (_, '\\') => word.get_or_insert_default().extend(letters.next()),
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(letter);
            }
            (None, ' ') => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, '|' | '>' | '<' | '&' | ';') => {
                // The number of a stream belongs to its redirection.
                word = word.filter(|word| word.parse::<u8>().is_err());
                break;
            }
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// What stands between backticks in a page's sentences.
fn spans(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

#[test]
fn the_page_of_all_commands_is_the_program_s_own() {
    let mut page = String::from(
        "# All commands\n\n<!-- Made from the program's own help; UPDATE=1 on its test writes it anew. -->\n\nWhat each command takes, as its `--help` says it. How they are used: [the command line](cli.md).\n",
    );
    let mut all = Cli::command().term_width(110).mut_args(|arg| arg.hide_env_values(true));
    all.build();
    for command in all.get_subcommands() {
        section(&mut page, &["usher"], command);
    }
    keep("docs/commands.md", &page);
}

fn section(page: &mut String, above: &[&str], command: &Command) {
    if command.get_name() == "help" || command.is_hide_set() {
        return;
    }
    let mut name = above.to_vec();
    name.push(command.get_name());
    let mut shown = command.clone().term_width(110).mut_args(|arg| arg.hide_env_values(true));
    let help = shown.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    *page += &format!(
        "\n{} {}\n\n```text\n{}\n```\n",
        "#".repeat(name.len()),
        name.join(" "),
        lines.join("\n").trim()
    );
    for below in command.get_subcommands() {
        section(page, &name, below);
    }
}

#[test]
fn a_line_is_split_as_a_shell_does() {
    for (line, wanted) in [
        ("usher list routes # all", Some(vec!["usher", "list", "routes"])),
        ("$ USHER_LOG=debug usher serve &", Some(vec!["usher", "serve"])),
        ("usher chat \"show all\" 2>log", Some(vec!["usher", "chat", "show all"])),
        ("usher explain 'curl -H \"a: b\" x' | head", Some(vec!["usher", "explain", "curl -H \"a: b\" x"])),
        ("curl http://x", None),
        ("usher> There are no routes yet.", None),
        ("usher apply ...", None),
    ] {
        let found = command(line);
        assert_eq!(found, wanted.map(|words| words.into_iter().map(str::to_owned).collect()), "{line}");
    }
}
