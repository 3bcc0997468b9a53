//! `cargo xtask`: everything the project does besides being built. `test` is what CI runs, and what anybody should run before a change.

mod bench;
mod command;
mod steps;
mod tools;
mod torture;

use std::process::ExitCode;

const HELP: &str = "usage: cargo xtask <task>

  test         every check: format, clippy with warnings denied, dependencies, tests, documentation, the demo end to end
  test FILTER  only the tests whose name contains FILTER
  bench        speed beside nginx and HAProxy, in one interleaved run (see docs/performance.md)
  torture      lost power, failing disks and kills, for up to an hour (`torture --help`)
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
