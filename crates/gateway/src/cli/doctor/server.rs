//! The running Usher, if there is one: whether it answers, whether our key is good, how its store is, and whether its clock agrees with ours.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::Finding;
use crate::cli::failure::{Code, Failure};
use crate::cli::remote::{Remote, is_here};

/// How far two clocks may be apart, in seconds: tokens and certificates end by them.
const MOST_APART: u64 = 30;

/// What is known of a running Usher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Running {
    /// None answers.
    No,
    /// One answers, and doesn't say where it listens.
    Somewhere,
    /// One answers on this machine, and listens here: each place with its name.
    Here(Vec<(String, SocketAddr)>),
}

/// Looks; what answers.
pub(super) async fn look(remote: &Remote, findings: &mut Vec<Finding>) -> Running {
    let place = remote.base().map_or_else(|_| String::new(), |url| url.to_string());
    let client = match remote.client() {
        Ok(client) => client,
        Err(error) => {
            findings.push(Finding::fail("admin port", format!("{error}"), "mend the option"));
            return Running::No;
        }
    };
    let status = match client.get(&["status"], &[]).await {
        Ok(status) => status,
        Err(error) => {
            let told = error.to_string();
            let first = told.lines().next().unwrap_or_default().to_owned();
            let code = Failure::code_of(&error);
            findings.push(if code == Code::Away as u8 {
                Finding::warn("running Usher", first, "start it with `usher serve`, if it should be running")
            } else if code == Code::Unauthorised as u8 {
                Finding::fail("admin key", first, "set USHER_ADMIN_KEY, or name a file with --key-file")
            } else {
                Finding::fail("running Usher", first, "name its Admin port with --url")
            });
            return if code == Code::Away as u8 { Running::No } else { Running::Somewhere };
        }
    };
    of_status(&status, &place, findings);
    clock(client.date().await, findings);
    if remote.base().is_ok_and(|url| is_here(&url)) { listeners(&status) } else { Running::Somewhere }
}

/// Where it says that it listens.
fn listeners(status: &Value) -> Running {
    let gateways = status.get("listeners").and_then(Value::as_array).into_iter().flatten();
    let gateways =
        gateways.filter_map(|address| Some(("gateway".to_owned(), address.as_str()?.parse().ok()?)));
    let sides = status.get("sides").and_then(Value::as_array).into_iter().flatten().filter_map(|side| {
        let text = |name: &str| side.get(name).and_then(Value::as_str);
        Some((text("name")?.to_owned(), text("address")?.parse().ok()?))
    });
    let all: Vec<(String, SocketAddr)> = gateways.chain(sides).collect();
    if all.is_empty() { Running::Somewhere } else { Running::Here(all) }
}

fn of_status(status: &Value, place: &str, findings: &mut Vec<Finding>) {
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let who = format!("{} ({})", text("/you/name"), text("/you/role"));
    findings.push(Finding::ok(
        "running Usher",
        format!("version {} answers at {place} as {who}", text("/version")),
    ));
    let (kind, place) = (text("/store/kind"), text("/store/place"));
    let away = text("/store/away");
    findings.push(if away.is_empty() {
        Finding::ok("store", format!("{kind} {place} is reachable"))
    } else {
        Finding::fail(
            "store",
            format!("{kind} {place} is away: {away}"),
            "reads go on, writes are refused until it is back",
        )
    });
    let fail = text("/store/writes_fail");
    if !fail.is_empty() {
        findings.push(Finding::fail(
            "store",
            format!("{kind} {place} takes no writes: {fail}"),
            "mend that (free some space, look at the disk); reads and traffic go on, and writes work again once it is over",
        ));
    }
    let held = text("/store/held");
    if !held.is_empty() {
        findings.push(Finding::warn(
            "store",
            format!("a change is held back: {held}"),
            "look at it; `usher status --accept` confirms it if it is meant",
        ));
    }
    let recovered = text("/store/recovered");
    if !recovered.is_empty() {
        findings.push(Finding::warn("store", recovered, "compare with a backup, and look at the disk"));
    }
    let (stored, served) = (number("/revision"), number("/in_force"));
    findings.push(if served >= stored {
        Finding::ok("in force", format!("revision {served}, the newest"))
    } else {
        Finding::warn(
            "in force",
            format!("revision {served}, and {stored} is stored"),
            "run this again; if it stays so, look at the log",
        )
    });
    for problem in status.get("problems").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
        let found =
            format!("{} can't be used, its last good version serves: {}", part("key"), part("reason"));
        findings.push(Finding::fail("object", found, "mend the object, or undo the change"));
    }
    for plan in status.get("unfinished").and_then(Value::as_array).into_iter().flatten() {
        let id = plan.get("plan").and_then(Value::as_str).unwrap_or_default();
        findings.push(Finding::warn(
            "plan",
            format!("{id} was not applied to its end"),
            "apply it again to go on, or undo it",
        ));
    }
}

fn clock(theirs: Option<SystemTime>, findings: &mut Vec<Finding>) {
    let secs = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let Some(theirs) = theirs else { return };
    let apart = secs(SystemTime::now()).abs_diff(secs(theirs));
    findings.push(if apart <= MOST_APART {
        Finding::ok("clock", format!("agrees with the running Usher's to {apart} s"))
    } else {
        Finding::fail(
            "clock",
            format!("is {apart} s off the running Usher's"),
            "let NTP set both: tokens and certificates end by them",
        )
    });
}
