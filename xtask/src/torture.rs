//! `cargo xtask torture`: the long forms of what the ordinary tests do briefly. Each prints its figure and the command that gives it alone.

use std::time::Instant;

use anyhow::bail;

use crate::command::{command, run as run_command, say};
use crate::tools;

const HELP: &str = "usage: cargo xtask torture [--images N] [PART...]

  Looks for lost writes longer than the tests do; an hour at most. The parts, all of them where none is named:

  power    N images of a disk that lost its power (100000), and a kill at every change of the disk
  errors   a failure at every change of the disk, once and from then on: EIO, ENOSPC, half a write
  etcd     300 faults of three members of etcd (killed, stalled, slowed, compacted) under writers (needs etcd-server)
  kill     SIGKILL at every write, sync, cut and rename of the operating system, from the first start on (needs strace)
  inputs   what the fuzz targets check, with 2000 changed ones of each input of their corpora
  upgrades 20 upgrades of a running server under clients of every kind: none may fail
  servers  20000 mutated requests to nginx, HAProxy, Python and Node behind it: none may be read differently
  api      what our OpenAPI documents promise, asked by 200 requests of each kind (needs schemathesis of Python)
  speed    how many routes a second the embedded store takes, in sets and one by one
";

/// A part.
struct Part {
    name: &'static str,
    /// The packages whose tests it runs.
    packages: &'static [&'static str],
    /// Which of them.
    filter: &'static str,
    /// What makes them long, and how long; `None` is the number of images.
    variable: (&'static str, Option<&'static str>),
}

const PARTS: &[Part] = &[
    Part {
        name: "power",
        packages: &["usher-store"],
        filter: "binary(faults) & test(power::)",
        variable: ("USHER_TORTURE_IMAGES", None),
    },
    Part {
        name: "errors",
        packages: &["usher-store"],
        filter: "binary(faults) & !test(power::)",
        variable: ("USHER_TORTURE_IMAGES", None),
    },
    Part {
        name: "etcd",
        packages: &["usher-store"],
        filter: "test(three_members_in_trouble_lose_nothing)",
        variable: ("USHER_TORTURE_FAULTS", Some("300")),
    },
    Part {
        name: "kill",
        packages: &["usher-store"],
        filter: "binary(kill)",
        variable: ("USHER_TORTURE_KILLS", Some("1")),
    },
    Part {
        name: "inputs",
        packages: &["usher-store", "usher-model", "usher-plugins", "usher-proxy", "usher-gateway"],
        filter: "test(of_the_corpus)",
        variable: ("USHER_TORTURE_INPUTS", Some("2000")),
    },
    Part {
        name: "upgrades",
        packages: &["usher-gateway"],
        filter: "test(no_client_notices_an_upgrade)",
        variable: ("USHER_TORTURE_UPGRADES", Some("20")),
    },
    Part {
        name: "servers",
        packages: &["usher-gateway"],
        filter: "test(servers_of_others)",
        variable: ("USHER_TORTURE_MUTATIONS", Some("20000")),
    },
    Part {
        name: "api",
        packages: &["usher-gateway"],
        filter: "test(is_one_of_its_document)",
        variable: ("USHER_TORTURE_EXAMPLES", Some("200")),
    },
    Part {
        name: "speed",
        packages: &["usher-store"],
        filter: "binary(speed) | test(ten_thousand_routes)",
        variable: ("USHER_TORTURE_SPEED", Some("1")),
    },
];

/// Runs some parts, or all of them.
///
/// # Errors
/// The first part that fails; a word that is none.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    let (mut images, mut chosen) = ("100000", Vec::new());
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--help" | "-h" | "help" => return say(HELP.trim_end()),
            "--images" => {
                match words.next().filter(|count| count.parse::<usize>().is_ok_and(|count| count > 0)) {
                    Some(count) => images = count,
                    None => bail!("--images needs a number from 1 on\n\n{HELP}"),
                }
            }
            name => match PARTS.iter().find(|part| part.name == name) {
                Some(part) => chosen.push(part),
                None => bail!("{name:?} is no part\n\n{HELP}"),
            },
        }
    }
    if chosen.is_empty() {
        chosen.extend(PARTS);
    }
    tools::ensure_nextest()?;
    if chosen.iter().any(|part| part.name == "kill") {
        tools::ensure_packages(&[("strace", "strace")])?;
    }
    if chosen.iter().any(|part| part.name == "etcd") {
        tools::ensure_packages(&[("etcd-server", "etcd")])?;
    }
    for part in chosen {
        part.run(images)?;
    }
    Ok(())
}

impl Part {
    fn run(&self, images: &str) -> anyhow::Result<()> {
        let (variable, value) = self.variable;
        let value = value.unwrap_or(images);
        let mut words = vec!["nextest", "run", "--cargo-profile", "release", "--locked", "--no-capture"];
        words.extend(self.packages.iter().flat_map(|package| ["--package", package]));
        say(&format!(
            "\n=== {}: {variable}={value} cargo {} -E '{}'",
            self.name,
            words.join(" "),
            self.filter
        ))?;
        let began = Instant::now();
        run_command(command("cargo", &words).args(["-E", self.filter]).env(variable, value))?;
        say(&format!("=== {}: held for {:.0} s", self.name, began.elapsed().as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::{HELP, PARTS};

    #[test]
    fn the_help_tells_of_every_part_and_of_no_other() {
        let mut told: Vec<&str> = HELP
            .lines()
            .skip_while(|line| !line.contains("where none is named"))
            .skip(1)
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        let mut parts: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        told.sort_unstable();
        parts.sort_unstable();
        assert_eq!(told, parts);
    }
}
