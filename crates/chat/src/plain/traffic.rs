//! Sentences about what was served: who is refused, what is slow, which backends are down, the last requests.

use usher_model::kind::Kind;

use super::clauses::unknown;
use super::intent::{Intent, Question, Served, Since, Unknown};
use super::numbers;
use super::target;
use super::words::{Form, Words};

type Read = Result<Option<Intent>, Unknown>;

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// `which backends are down, and what depends on them?`
pub(super) fn health(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    probe.eat("show|list|tell|get|give me|us? all?");
    probe.eat("which|what");
    probe.eat("is|are the?");
    probe.eat("the|all|any");
    let nodes = probe.eat("backend|upstream? backends|nodes|upstreams|servers") || probe.eat("health of");
    if !nodes {
        return Ok(None);
    }
    probe.eat("the? backends|nodes|upstreams|servers");
    probe.eat("that|which");
    let down = probe.eat("is|are? down|unhealthy|failing|dead|broken|unreachable|sick|up|healthy|doing");
    let of_health = words.sees("show|what|get? is? the? health of") && probe.is_done();
    if !down && !of_health {
        return Ok(None);
    }
    probe.eat(",");
    probe.eat("and? what|who depends|hangs|leans|relies on them|it?");
    probe.eat("and? which|what routes depend|hang|lean|rely on them|it");
    probe.eat("right? now");
    *words = probe;
    Ok(Some(Intent::Ask(Question::Health)))
}

/// `who gets 401s in the last hour, and why?`
pub(super) fn refused(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    let asked = probe.eat("who is? gets|getting|got|receives|receiving|sees|seeing")
        || probe.eat("which|what clients|client|consumers|users get|gets|got|are? getting|receive|see")
        || probe.eat("who is|are refused|rejected|blocked|denied")
        || (probe.sees("who is|are rate|rate-limited|throttled") && probe.eat("who is|are"));
    if !asked {
        return Ok(None);
    }
    probe.eat("the|a|an|any|all|most|many");
    let status = match statuses(&mut probe) {
        Some(status) => status,
        None if probe.eat("rate? limited|limits") || probe.eat("rate-limited|throttled") => "429".to_owned(),
        None if probe.eat("errors|refused|rejected|blocked|denied") || probe.is_done() => "4xx".to_owned(),
        None => return Ok(None),
    };
    probe.eat("answers|errors|responses");
    let mut served =
        Served { by: "client,plugin,route", status: Some(status), range: HOUR, ..Served::default() };
    rest(&mut probe, &mut served)?;
    *words = probe;
    Ok(Some(Intent::Ask(Question::Served(served))))
}

/// `what is slow?`, `which routes are slow in the last 24 hours against the day before?`
pub(super) fn slow(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    probe.eat("show|tell|list me? the?");
    let routes = probe.eat("what|which routes|route? is|are|got|gets|was? the?")
        || probe.eat("what's|whats the?")
        || probe.eat("why is|are everything|it|things|all? so?");
    let slow = probe.eat("slow|slower|slowest|slowly routes|ones|requests?");
    if !slow || !(routes || words.sees("show|tell|list")) {
        return Ok(None);
    }
    let mut served =
        Served { by: "route", sort: Some("slowest"), range: DAY, compare: Some(DAY), ..Served::default() };
    let by_default = probe.is_done();
    probe.eat(",");
    probe.eat("than yesterday|before|usual");
    if !by_default {
        rest(&mut probe, &mut served)?;
    }
    *words = probe;
    Ok(Some(Intent::Ask(Question::Served(served))))
}

/// `show the traffic by consumer in the last 24 hours`, `which routes have errors?`
pub(super) fn traffic(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    probe.eat("show|list|get|give|display|tell me|us? the?");
    let mut served = Served { by: "route", range: HOUR, ..Served::default() };
    let which = probe.eat("which|what routes|route have|has|had|give|gives|answer|answers|see|sees the?");
    probe.eat("how much|many");
    probe.eat("the|all|any");
    if let Some(status) = statuses(&mut probe) {
        served.status = Some(status);
        served.by = "route,cause";
    } else if probe.eat("server? errors|failures") {
        served.status = Some("5xx".to_owned());
        served.by = "route,cause";
        served.sort = Some("errors");
    } else if which || !probe.eat("traffic|load|latency") {
        return Ok(None);
    }
    // Alone it is the state of the gateway that is asked for.
    if probe.is_done() && !which && served.status.as_deref().is_none_or(|status| status == "5xx") {
        return Ok(None);
    }
    probe.eat("is|are|do|does? there|we? have|get?");
    rest(&mut probe, &mut served)?;
    *words = probe;
    Ok(Some(Intent::Ask(Question::Served(served))))
}

/// `show the last 20 requests of route speaker`
pub(super) fn requests(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    let lead = probe.eat("show|list|get|give|display|tell|print me|us? all?") || probe.eat("what were|are");
    probe.eat("the");
    let recent = probe.eat("last|latest|recent|newest");
    let last = recent.then(|| numbers::number(&mut probe)).flatten();
    let status = statuses(&mut probe);
    let failed = probe.eat("failed|failing");
    let refused = !failed && probe.eat("refused|rejected|denied");
    if !(lead || recent) || !probe.eat("requests|request|calls") {
        return Ok(None);
    }
    probe.eat("that|which? answered|with|got|failed");
    let status = status.or_else(|| statuses(&mut probe));
    let status =
        status.or_else(|| if failed { Some("5xx".to_owned()) } else { refused.then(|| "4xx".to_owned()) });
    let mut of = None;
    if probe.eat("of|on|to|for|at") {
        let Some((reference, _)) = target::reference(&mut probe, Kind::Route) else {
            return Err(unknown(&probe, None));
        };
        of = Some(reference);
    }
    *words = probe;
    Ok(Some(Intent::Ask(Question::Requests { of, status, last })))
}

/// What may follow: a route, what rows are told apart by, a time, a time to compare with, and why.
fn rest(words: &mut Words<'_>, served: &mut Served) -> Result<(), Unknown> {
    while !words.is_done() {
        let before = words.rest().len();
        words.eat(",");
        words.eat("and? why|what for?");
        words.eat("p50|p95|p99|latency");
        if words.eat("per|by|grouped for? each? by?") {
            served.by = by(words).ok_or_else(|| unknown(words, None))?;
        }
        if words.eat("compared? to|with|against|than|versus|vs the? day before|earlier")
            || words.eat("against|versus|vs|than yesterday")
        {
            served.compare = Some(DAY);
        } else if words.eat("compared? to|with|against|than|versus|vs the? week before") {
            served.compare = Some(7 * DAY);
        }
        words.eat("in|over|during|within|of|from|for");
        if let Some(range) = span(words) {
            served.range = range;
        } else if served.of.is_none()
            && let Some((reference, true)) = target::reference(words, Kind::Route)
        {
            served.of = Some(reference);
        }
        if words.rest().len() == before {
            return Err(unknown(words, None));
        }
    }
    Ok(())
}

fn by(words: &mut Words<'_>) -> Option<&'static str> {
    const ALL: [(&str, &str); 8] = [
        ("route|routes", "route"),
        ("service|services", "service"),
        ("consumer|consumers|user|users", "consumer"),
        ("status|statuses|code|codes", "status"),
        ("class", "class"),
        ("cause|causes|reason|reasons", "cause"),
        ("plugin|plugins", "plugin"),
        ("client|clients|address|addresses|ip", "client"),
    ];
    ALL.iter().find(|(words_for, _)| words.eat(words_for)).map(|(_, name)| *name)
}

/// `401`, `401s`, `5xx`, `4xxs`.
fn statuses(words: &mut Words<'_>) -> Option<String> {
    let word = words.peek().filter(|word| word.form == Form::Plain)?;
    let bare = word.low.strip_suffix('s').unwrap_or(&word.low);
    usher_model::traffic::statuses(bare)?;
    words.take();
    Some(bare.to_owned())
}

/// `the last 24 hours`, `last hour`, `today`, `10m`, in seconds.
fn span(words: &mut Words<'_>) -> Option<u64> {
    if words.eat("today") {
        return Some(DAY);
    }
    let mut probe = *words;
    probe.eat("the|this|our");
    let past = probe.eat("last|past|previous");
    if let Some(word) = probe.peek().filter(|word| word.form == Form::Plain)
        && let Some(span) = usher_model::traffic::span(&word.low)
    {
        probe.take();
        *words = probe;
        return Some(span);
    }
    let count = numbers::number(&mut probe);
    let unit = unit(&mut probe).filter(|_| past || count.is_some())?;
    *words = probe;
    Some(count.unwrap_or(1).checked_mul(unit)?.clamp(1, usher_model::traffic::LONGEST_SECS))
}

fn unit(words: &mut Words<'_>) -> Option<u64> {
    const ALL: [(&str, u64); 5] = [
        ("second|seconds|secs", 1),
        ("minute|minutes|mins|min", 60),
        ("hour|hours", HOUR),
        ("day|days", DAY),
        ("week|weeks", 7 * DAY),
    ];
    ALL.iter().find(|(names, _)| words.eat(names)).map(|(_, secs)| *secs)
}

/// `since friday`, `since yesterday`, `in the last 24 hours`.
pub(super) fn since(words: &mut Words<'_>) -> Option<Since> {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let mut probe = *words;
    if probe.eat("since|from|after") {
        probe.eat("last|this|the");
        let found = if probe.eat("yesterday") {
            Some(Since::DaysAgo(1))
        } else if probe.eat("today|midnight") {
            Some(Since::DaysAgo(0))
        } else {
            DAYS.iter().position(|day| probe.eat(day)).map(Since::Weekday)
        };
        if found.is_some() {
            *words = probe;
            return found;
        }
    }
    let mut probe = *words;
    if probe.eat("today") {
        *words = probe;
        return Some(Since::DaysAgo(0));
    }
    probe.eat("in|within|over|during|since");
    let span = span(&mut probe)?;
    *words = probe;
    Some(Since::Secs(span))
}
