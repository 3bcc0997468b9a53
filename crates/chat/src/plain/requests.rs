//! Sentences about one request: which way it would go and why, or that it be sent.

use super::clauses::{address, domain, pair, unknown};
use super::intent::{Asked, Intent, Question, SAFE, Unknown};
use super::kinds;
use super::numbers;
use super::words::{Word, Words};

type Read = Result<Option<Intent>, Unknown>;

/// `explain GET /speaker/1`, `why does GET /x answer 404?`
pub(super) fn explain(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    let sure = probe.eat("explain|trace why?");
    let mut asked = Asked::default();
    let lead = sure
        || probe.eat("why does|do|is|did|are")
        || probe.eat("what happens|happened to|with|on|for|when")
        || probe
            .eat("which|what route|plugins|upstream takes|serves|matches|handles|gets|answers|run|runs|for")
        || probe.eat("where does|do|is")
        || probe.eat("who|what answers|serves|takes");
    if !lead {
        return Ok(None);
    }
    if probe.eat("i|we|you get|see|have") {
        asked.status = numbers::number(&mut probe);
    }
    probe.eat("a|an|the|for|on|at|to|from|does|do");
    probe.eat("a|an|the? request|requests|call|calls? to|for|on?");
    if !request(&mut probe, &mut asked) {
        return if sure || asked.status.is_some() {
            Err(unknown(&probe, Some("say which request, such as `explain GET /speaker/1`")))
        } else {
            Ok(None)
        };
    }
    modifiers(&mut probe, &mut asked, true)?;
    *words = probe;
    Ok(Some(Intent::Ask(Question::Explain(asked))))
}

/// `GET /speaker/1`; a path alone is asked for with GET.
fn request(words: &mut Words<'_>, asked: &mut Asked) -> bool {
    let mut probe = *words;
    asked.method = kinds::method(&mut probe).unwrap_or_else(|| "GET".to_owned());
    probe.eat("request? to|on|for?");
    let Some(word) = probe.take().filter(|word| Word::is_path(word)) else { return false };
    asked.path.clone_from(&word.text);
    *words = probe;
    true
}

/// What stands behind a request: host, client, headers, body, and the answer that somebody wonders about.
fn modifiers(words: &mut Words<'_>, asked: &mut Asked, wonders: bool) -> Result<(), Unknown> {
    while !words.is_done() {
        if words.eat("for|on|with|at|and? the? host is?") {
            asked.host = words.take().map(|word| word.low.clone());
            continue;
        }
        if words.eat("with|and? the|a? header|headers") {
            let Some(word) = words.take() else {
                return Err(unknown(words, Some("which header is missing")));
            };
            let pair = pair(&word.text).map(|(name, value)| (name.to_owned(), value.to_owned()));
            let header = pair.or_else(|| words.take().map(|value| (word.text.clone(), value.text.clone())));
            asked.headers.push(header.ok_or_else(|| unknown(words, Some("the header's value is missing")))?);
            continue;
        }
        if words.eat("with|and? the|a? body") {
            asked.body = words.take().map(|word| word.text.clone());
            continue;
        }
        let mut probe = *words;
        if probe.eat("from|as|by|for the? client|address|ip?")
            && let Some(word) = probe.peek().filter(|word| address(&word.low) && !word.low.contains('/'))
        {
            asked.client = Some(word.low.clone());
            probe.take();
            *words = probe;
            continue;
        }
        let mut probe = *words;
        if probe.eat("for|on|at")
            && let Some(word) = probe.peek().filter(|word| domain(&word.low))
        {
            asked.host = Some(word.low.clone());
            probe.take();
            *words = probe;
            continue;
        }
        if words.eat(",|and") {
            continue;
        }
        if !wonders || !wonder(words, asked) {
            return Err(unknown(words, None));
        }
    }
    Ok(())
}

/// The rest of `why does GET /x answer 404`.
fn wonder(words: &mut Words<'_>, asked: &mut Asked) -> bool {
    let status = words.peek().and_then(|word| word.low.parse().ok()).filter(|code| (100..600).contains(code));
    if status.is_some() {
        asked.status = status;
        words.take();
        return true;
    }
    words.eat(
        "answer|answers|answering|answered|return|returns|returning|give|gives|get|gets|getting|a|an|the|with|go|goes|going|to|\
        fail|fails|failing|not|work|working|refused|rejected|blocked|limited|me|end|ends|up|by|through|status|code|error|and|why|\
        taken|handled|served|redirected|anything|nothing",
    )
}

/// `send GET /speaker/1`, `GET /speaker/1`
pub(super) fn probe(words: &mut Words<'_>) -> Read {
    let mut place = *words;
    let told = place.eat("probe|try|test|send|call|curl|fetch|hit|check|ping|request");
    place.eat("a|an|the? real? request|call? to|for?");
    let mut asked = Asked::default();
    if !request(&mut place, &mut asked) {
        return Ok(None);
    }
    // A bare request is a question as long as it only reads.
    if !told && (!SAFE.contains(&asked.method.as_str()) || words.peek().is_some_and(Word::is_path)) {
        return Ok(None);
    }
    if told && place.sees("to|towards|through|via|using") {
        let reason = "requests are sent to this gateway only; to make a route, say for example `forward /speaker/* to \
            http://127.0.0.1:3000`";
        return Err(unknown(&place, Some(reason)));
    }
    modifiers(&mut place, &mut asked, false)?;
    *words = place;
    Ok(Some(Intent::Ask(Question::Probe(asked))))
}
