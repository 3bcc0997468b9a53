//! `usher doctor`: looks at what lies around an Usher, and says of each thing whether it is well, and what to do where it isn't.

mod machine;
mod named;
mod server;

use clap::Args;

use super::failure::{Code, Failure};
use super::options::ServerOptions;
use super::output::clean;
use super::remote::Remote;
use crate::terminal::{Style, say};

/// Options of `usher doctor`.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    remote: Remote,
}

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Ok,
    Warn,
    Fail,
}

/// What was found of one thing.
#[derive(Debug)]
struct Finding {
    mark: Mark,
    what: String,
    found: String,
    next: Option<String>,
}

impl Finding {
    fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { mark: Mark::Ok, what: what.into(), found: found.into(), next: None }
    }

    fn warn(what: impl Into<String>, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { mark: Mark::Warn, next: Some(next.into()), ..Self::ok(what, found) }
    }

    fn fail(what: impl Into<String>, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { mark: Mark::Fail, ..Self::warn(what, found, next) }
    }

    fn line(&self, style: Style) -> String {
        let mark = match self.mark {
            Mark::Ok => style.green("ok  "),
            Mark::Warn => style.yellow("warn"),
            Mark::Fail => style.red("fail"),
        };
        let next = self.next.as_ref().map(|next| format!("\n      {}", clean(next))).unwrap_or_default();
        format!("{mark}  {}: {}{next}", clean(&self.what), clean(&self.found))
    }
}

impl Doctor {
    /// Looks, and tells.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut findings = Vec::new();
        match self.server.settings() {
            Ok(settings) => {
                findings.push(Finding::ok(
                    "settings",
                    self.server.config.as_ref().map_or_else(
                        || "the defaults, the environment and these options".to_owned(),
                        |path| format!("{} is understood", path.display()),
                    ),
                ));
                findings.extend(settings.warnings.iter().map(|warning| {
                    Finding::warn("settings", warning.clone(), "leave it out, so that nobody relies on it")
                }));
                let running = server::look(&self.remote, &mut findings).await;
                named::look(&settings, &mut findings);
                machine::look(&settings, &running, &mut findings);
            }
            Err(error) => {
                findings.push(Finding::fail("settings", format!("{error:#}"), "mend the file or the option"));
                server::look(&self.remote, &mut findings).await;
            }
        }
        let style = Style::detect();
        for finding in &findings {
            say(&finding.line(style))?;
        }
        let failed = findings.iter().filter(|finding| finding.mark == Mark::Fail).count();
        if failed > 0 {
            return Err(Failure::new(Code::Failed, format!("{failed} of {} are not well", findings.len()))
                .see("internal")
                .into());
        }
        Ok(())
    }
}
