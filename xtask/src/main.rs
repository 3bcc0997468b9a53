//! `cargo xtask`: everything the project does besides being built. `test` is what CI runs, and what anybody should run before a change.

mod bench;
mod book;
mod command;
mod debian;
mod fuzz;
mod sbom;
mod steps;
mod tools;
mod torture;

use std::process::ExitCode;

const HELP: &str = "usage: cargo xtask <task>

  test         every check: format, clippy with warnings denied, dependencies, tests, documentation, the demo end to end
  test FILTER  only the tests whose name contains FILTER
  bench        speed beside nginx and HAProxy, in one interleaved run (see docs/performance.md)
  torture      lost power, failing disks and kills, for up to an hour (`torture --help`)
  fuzz         every fuzz target for a minute, with a nightly compiler (`fuzz --help`)
  book         the manual as a book in target/book, every link followed
  deb          the Debian package (`deb --help`)
  sbom         the list of all that the program is made of, as CycloneDX (`sbom --help`)
  help         this text
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let outcome = match (task.as_deref(), rest.as_slice()) {
        (Some("test"), []) => steps::all(),
        (Some("test"), [filter]) => steps::only(filter),
        (Some("bench"), rest) => bench::run(rest),
        (Some("torture"), rest) => torture::run(rest),
        (Some("fuzz"), rest) => fuzz::run(rest),
        (Some("book"), rest) => book::run(rest),
        (Some("deb"), rest) => debian::run(rest),
        (Some("sbom"), rest) => sbom::run(rest),
        (Some("help" | "--help" | "-h") | None, _) => command::say(HELP.trim_end()),
        (Some(other), _) => {
            Err(anyhow::anyhow!("{other:?} is not a task, or not with these words\n\n{HELP}"))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            command::complain(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
