//! The page that `man usher` shows, made of the program's own help like the page of all commands.

use clap::{Command, CommandFactory as _};

use super::keep;
use crate::cli::Cli;

#[test]
fn the_page_of_man_is_the_program_s_own() {
    let mut all = Cli::command().term_width(78).mut_args(|arg| arg.hide_env_values(true));
    all.build();
    let about = all.get_about().map(ToString::to_string).unwrap_or_default();
    let mut page = format!(
        ".\\\" Made from the program's own help; UPDATE=1 on its test writes it anew.\n.TH USHER 1 \"\" \"usher {}\" \"Usher\"\n.SH NAME\nusher \\- {}\n",
        env!("CARGO_PKG_VERSION"),
        roff(&about)
    );
    page += ".SH SYNOPSIS\n.B usher\n.I COMMAND\n[\\fIOPTION\\fR...]\n";
    section(&mut page, "DESCRIPTION", &all);
    commands(&mut page, "usher", &all);
    page += ".SH FILES\n.TP\n.I /etc/usher/config.yaml\nthe settings of the service\n.TP\n.I /var/lib/usher\nits store and its keys\n.TP\n.I usher\\-data\nthe same of a server that was started without either, in the folder it was started in\n";
    page += ".SH SEE ALSO\n.I /usr/share/doc/usher/docs/introduction.md\n, the manual\n";
    keep("deploy/debian/usher.1", &page);
}

fn commands(page: &mut String, above: &str, command: &Command) {
    for below in command.get_subcommands().filter(|one| one.get_name() != "help" && !one.is_hide_set()) {
        let name = format!("{above} {}", below.get_name());
        section(page, &name, below);
        commands(page, &name, below);
    }
}

/// A command's help as it is shown at a terminal.
fn section(page: &mut String, title: &str, command: &Command) {
    let mut shown = command.clone().term_width(78).mut_args(|arg| arg.hide_env_values(true));
    let help = shown.render_long_help().to_string();
    *page += &format!(".SH \"{}\"\n.nf\n", roff(title));
    for line in help.trim().lines().flat_map(wrapped) {
        *page += &roff(&line);
        page.push('\n');
    }
    *page += ".fi\n";
}

/// How wide a terminal is taken to be, with the margin of the page.
const WIDTH: usize = 71;

/// A line in as many as it takes; those behind the first begin where its text does, behind the second column where it has two.
fn wrapped(line: &str) -> Vec<String> {
    let line = line.trim_end();
    let text = line.trim_start();
    let indent = line.len() - text.len();
    let second = text.find("  ").map(|gap| text.len() - text[gap..].trim_start().len());
    let begin = indent + second.filter(|at| indent + at < WIDTH / 2).unwrap_or(0);
    let mut lines = vec![" ".repeat(indent)];
    for word in text.split(' ') {
        let last = lines.last_mut().unwrap();
        let is_empty = last.trim().is_empty();
        if !is_empty && last.len() + 1 + word.len() > WIDTH {
            lines.push(" ".repeat(begin) + word);
        } else {
            if !is_empty || last.len() > indent {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

/// A line that roff shows letter by letter: what could be a request or an escape is none, and an option can be copied.
fn roff(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[test]
fn long_lines_go_on_where_their_text_begins() {
    let long = "word ".repeat(20);
    let told = wrapped(&format!("  name    {long}"));
    assert!(
        told.len() > 1 && told[0].starts_with("  name    word ") && told[1].starts_with("          word"),
        "{told:#?}"
    );
    assert!(told.iter().all(|line| line.len() <= WIDTH), "{told:#?}");
    assert_eq!(wrapped("      --yes"), ["      --yes"]);
    assert_eq!(wrapped(""), [""]);
}

#[test]
fn nothing_in_a_line_is_a_request_to_roff() {
    assert_eq!(roff(".x a\\b --c"), "\\&.x a\\eb \\-\\-c");
}
