//! How a command ends: exit codes, and the one form in which everything that went wrong is told.

use std::fmt;

use serde_json::Value;
use usher_model::help;

/// What follows `--help` where exit codes matter.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed for another reason
  2  the command line is wrong, or a file that it names can't be read
  3  refused: a file or an object is invalid
  4  not found
  5  in conflict: changed or used by others meanwhile
  6  not authorised: no key, a wrong one, or one without the right
  7  away: Usher, its store or the disk can't serve this now
  8  not agreed to
  9  there are differences (diff --exit-code)";

/// How a command ends without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// For another reason.
    Failed = 1,
    /// The command line is wrong, or a file that it names can't be read.
    Usage = 2,
    /// A file or an object is invalid.
    Refused = 3,
    /// There is none.
    NotFound = 4,
    /// Changed or used by others meanwhile.
    Conflict = 5,
    /// No key, a wrong one, or one without the right.
    Unauthorised = 6,
    /// Usher, its store or the disk can't serve this now.
    Away = 7,
    /// A person said no, or nobody was there to ask.
    Declined = 8,
    /// There are differences.
    Differs = 9,
}

/// Why a command ended without success: what, where, and the next step.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    what: String,
    place: Option<String>,
    next: Option<String>,
    page: Option<String>,
}

/// An error that a page of the manual says more of.
pub(crate) trait See<T> {
    /// The same with the page that helps on this occasion (`usher_model::help`), unless a narrower one is named already.
    fn see(self, occasion: &str) -> anyhow::Result<T>;
}

impl<T> See<T> for anyhow::Result<T> {
    fn see(self, occasion: &str) -> Self {
        self.map_err(|error| match error.downcast::<Failure>() {
            Ok(failure) => failure.see(occasion).into(),
            Err(error) => Failure::new(Code::Failed, format!("{error:#}")).see(occasion).into(),
        })
    }
}

impl Failure {
    /// A failure with its code and what happened.
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), place: None, next: None, page: None }
    }

    /// The same with the place.
    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into()).filter(|place| !place.is_empty());
        self
    }

    /// The same with the next step.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The same with the page that helps on this occasion, unless one is named already.
    pub(crate) fn see(mut self, occasion: &str) -> Self {
        self.page = self.page.or(help::page(occasion).map(str::to_owned));
        self
    }

    /// The exit code of an error: this kind's own, or 1.
    pub(crate) fn code_of(error: &anyhow::Error) -> u8 {
        error.downcast_ref::<Self>().map_or(Code::Failed, |failure| failure.code) as u8
    }

    /// What a running Usher refused with.
    pub(crate) fn of_answer(status: u16, body: &Value) -> Self {
        let cause = body.get("error");
        let text = |name: &str| cause.and_then(|cause| cause.get(name)).and_then(Value::as_str);
        let Some(what) = text("message") else {
            return Self::new(
                Code::Failed,
                format!("what answers is no Usher's Admin port: it said {status}"),
            )
            .next("name the Admin port with --url; `usher serve` prints where it listens");
        };
        let code = match (status, text("code").unwrap_or_default()) {
            (_, "needs_steps" | "needs_person") => Code::Declined,
            (401 | 403 | 429, _) => Code::Unauthorised,
            (404, _) => Code::NotFound,
            (409 | 412, _) => Code::Conflict,
            (408 | 503 | 507, _) => Code::Away,
            (400 | 413 | 415 | 422, _) => Code::Refused,
            _ => Code::Failed,
        };
        let object = body.get("object").map(|object| {
            let part = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{} {}", part("kind"), part("id"))
        });
        let place = [object.as_deref(), text("field")];
        let place: Vec<&str> = place.into_iter().flatten().collect();
        let mut failure =
            Self::new(code, super::output::clean(what)).at(super::output::clean(&place.join(" ")));
        // The page is that of the Usher that answered, which may be newer than this program.
        failure.page = text("help").map(super::output::clean);
        match next_here(text("code").unwrap_or_default()).or(text("next")) {
            Some(next) => failure.next(super::output::clean(next)),
            None => failure,
        }
    }
}

/// The next step in the words of the command line, where the API's own would name a path.
fn next_here(code: &str) -> Option<&'static str> {
    Some(match code {
        "unauthorized" => {
            "set USHER_ADMIN_KEY, or name a file with --key-file; `usher serve` says where its key is"
        }
        "no_object" => "`usher list` shows what there is",
        "nothing_to_undo" | "no_revision" => "`usher history` shows what can be undone",
        "needs_steps" => "add --in-steps: each step is in the history, and the whole can be undone",
        "still_used" => "delete what uses it in the same command, or add --force",
        "stale" | "conflict" | "precondition_failed" => {
            "`usher history` shows who changed it; look, and run this again"
        }
        "not_in_force" | "store_away" => "`usher status` shows how it is",
        "partial" => {
            "run the same command again to go on, or `usher undo`; `usher status` lists it as unfinished"
        }
        "unknown_outcome" => "`usher history` shows whether it was written; don't repeat it before",
        "unknown_plan" => "run this again",
        _ => return None,
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(place) = &self.place {
            write!(f, "\n  where: {place}")?;
        }
        if let Some(next) = &self.next {
            write!(f, "\n  next:  {next}")?;
        }
        if let Some(page) = &self.page {
            write!(f, "\n  see:   {page}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Code, EXIT_CODES, Failure, See as _};

    #[test]
    fn what_a_server_refuses_becomes_code_place_and_next_step() {
        let error =
            |code: &str| json!({ "error": { "code": code, "message": "why", "field": "/a", "next": "do" } });
        for (status, code, wanted) in [
            (401, "unauthorized", 6),
            (403, "forbidden", 6),
            (403, "needs_person", 8),
            (404, "not_found", 4),
            (409, "stale", 5),
            (412, "precondition_failed", 5),
            (413, "needs_steps", 8),
            (413, "too_large", 3),
            (422, "invalid", 3),
            (503, "store_away", 7),
            (507, "disk_full", 7),
            (500, "internal", 1),
        ] {
            let failure = Failure::of_answer(status, &error(code));
            // Where the API's own next step would name a path, the command line has its own words.
            let next = super::next_here(code).unwrap_or("do");
            assert_eq!(failure.to_string(), format!("why\n  where: /a\n  next:  {next}"));
            assert!(!next.contains("/usher/v1"), "{next}");
            assert_eq!(Failure::code_of(&failure.into()), wanted, "{status} {code}");
        }
        let foreign = Failure::of_answer(404, &json!({ "error_msg": "404 Route Not Found" }));
        assert!(foreign.to_string().contains("no Usher's Admin port"), "{foreign}");
        assert_eq!(Failure::code_of(&anyhow::anyhow!("else")), 1);
    }

    #[test]
    fn the_page_that_helps_is_the_last_line() {
        let told = |failure: Failure| failure.to_string();
        let answer =
            json!({ "error": { "code": "needs_person", "message": "why", "help": "docs/changes.md#agree" } });
        assert_eq!(told(Failure::of_answer(403, &answer)), "why\n  see:   docs/changes.md#agree");
        let plain = Failure::new(Code::Away, "why").next("do");
        assert_eq!(told(plain.see("store")), "why\n  next:  do\n  see:   docs/stores.md");
        // The narrower one stays, and so does the exit code.
        let inner: anyhow::Result<()> = Err(Failure::new(Code::Usage, "why").see("keyring").into());
        let outer = inner.see("store").unwrap_err();
        assert_eq!(outer.to_string(), "why\n  see:   docs/settings.md#keys");
        assert_eq!(Failure::code_of(&outer), 2);
        let plain: anyhow::Result<()> = Err(anyhow::anyhow!("deep").context("shallow"));
        assert_eq!(plain.see("store").unwrap_err().to_string(), "shallow: deep\n  see:   docs/stores.md");
    }

    #[test]
    fn every_code_is_in_the_help() {
        for code in 0..=9 {
            assert!(EXIT_CODES.contains(&format!("\n  {code}  ")), "{code}");
        }
    }
}
