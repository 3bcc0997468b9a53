//! Sentences that only look: lists, objects, history, explanations, probes, help; and undo, which names no object.

use usher_model::kind::Kind;

use super::clauses::{address, domain, name, pair, unknown};
use super::intent::{Asked, Filter, Intent, Reference, Target, Unknown};
use super::kinds;
use super::numbers;
use super::target;
use super::words::{Form, Word, Words};

type Read = Result<Option<Intent>, Unknown>;

pub(super) fn help(words: &mut Words<'_>) -> Read {
    let asked = words.eat("help me? with? sentences|everything?")
        || words.eat("what can you|i|one do|say|ask here?")
        || words.eat("commands|?");
    if !asked {
        return Ok(None);
    }
    if words.is_done() {
        return Ok(Some(Intent::Help));
    }
    words.eat("with|for|on|about the? plugin?");
    Ok(Some(Intent::Plugin(plugin_name(words).ok_or_else(|| unknown(words, None))?)))
}

/// A plugin's name; what is no known one is left to the gateway to judge.
fn plugin_name(words: &mut Words<'_>) -> Option<String> {
    let mut probe = *words;
    let found = kinds::plugin(&mut probe).or_else(|| {
        probe = *words;
        probe.take().filter(|word| word.form == Form::Plain).map(|word| word.low.clone())
    });
    probe.eat("plugin");
    found.filter(|_| probe.is_done()).inspect(|_| *words = probe)
}

pub(super) fn undo(words: &mut Words<'_>) -> Read {
    let said = words.eat("undo|revert|rollback|reverse")
        || words.eat("roll back")
        || words.eat("take that|it|this? back that|it|this?")
        || words.eat("take back");
    if !said {
        return Ok(None);
    }
    if words.eat("that|it|this change?") || words.eat("the? last|latest|previous change|one|revision?") || words.is_done()
    {
        return Ok(Some(Intent::Undo { revision: None }));
    }
    words.eat("the? change|revision|number|no? number|no?");
    let revision = words.take().and_then(|word| word.low.trim_start_matches(['#', 'r']).parse().ok());
    match revision {
        Some(revision) => Ok(Some(Intent::Undo { revision: Some(revision) })),
        None => Err(Unknown {
            part: String::new(),
            reason: Some("an undo takes back the last change, or a revision by its number".to_owned()),
            nearest: Vec::new(),
        }),
    }
}

pub(super) fn history(words: &mut Words<'_>) -> Read {
    let mut last = None;
    let asked = words.eat("what|who has|was|have? changed|happened here?") || {
        let mut probe = *words;
        probe.eat("show|list|get|give|display|print|see me|us? all?");
        probe.eat("what were|are?");
        probe.eat("the");
        let recent = probe.eat("last|latest|recent|newest");
        last = recent.then(|| numbers::number(&mut probe)).flatten();
        let found = probe.eat("history|changes|changelog|journal") || (recent && probe.eat("change"));
        if found {
            *words = probe;
        }
        found
    };
    if !asked {
        return Ok(None);
    }
    words.eat("lately|recently|so|last|today? far?");
    let mut of = None;
    if words.eat("in|on|to|of|about|with|at|for") || !words.is_done() {
        of = match target::read(words) {
            Some((Target::One(reference), _)) => Some(reference),
            Some((Target::Everything, _)) => None,
            None => return Err(unknown(words, None)),
        };
    }
    Ok(Some(Intent::History { of, last }))
}

pub(super) fn overview(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    probe.eat("show|list|get|give|display|tell me|us?");
    probe.eat("what|which is|are?");
    probe.eat("are|is there? any?");
    probe.eat("the|your|any");
    let topic = probe.eat("overview|status|health|state|traffic|problems|errors|listeners|ports|version of? the? gateway?")
        || probe.eat("busiest|most-used route|routes");
    let asked = topic
        || words.eat("how are|is you|it|things|everything|the|all gateway? going|doing?")
        || words.eat("what is|what's going on|up|happening?")
        || words.eat("what's up|going|happening on?")
        || words.eat("is everything|anything|all ok|okay|well|fine|wrong|broken")
        || words.eat("which|what route|routes is|are the? busiest|most-used");
    if topic {
        *words = probe;
    }
    Ok(asked.then_some(Intent::Overview))
}

pub(super) fn plugins(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    probe.eat("show|list|get|give|display|print|which|what me|us? all? the?");
    if probe.eat("plugins") {
        *words = probe;
        words.eat("are|do|can? there|exist|available|you|i|we? have|use|know?");
        return Ok(Some(Intent::Plugins));
    }
    let mut probe = *words;
    let lead = probe.eat("what does|do|is|are|what's the?")
        || probe.eat("what's the?")
        || probe.eat("how does|do|to i|we? use|set|configure? the?")
        || probe.eat("explain|describe|show|get me? the?");
    if !lead {
        return Ok(None);
    }
    let explicit = probe.sees("plugin");
    let Some(name) = kinds::plugin(&mut probe) else { return Ok(None) };
    probe.eat("plugin");
    probe.eat("do|mean|work|for|about|take|need|settings");
    if !probe.is_done() && !explicit {
        return Ok(None);
    }
    *words = probe;
    Ok(Some(Intent::Plugin(name)))
}

pub(super) fn explain(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    let sure = probe.eat("explain|trace why?");
    let mut asked = Asked::default();
    let lead = sure
        || probe.eat("why does|do|is|did|are")
        || probe.eat("what happens|happened to|with|on|for|when")
        || probe.eat("which|what route|plugins|upstream takes|serves|matches|handles|gets|answers|run|runs|for")
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
    Ok(Some(Intent::Explain(asked)))
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
            let Some(word) = words.take() else { return Err(unknown(words, Some("which header is missing"))) };
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

/// Methods that only read.
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

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
    modifiers(&mut place, &mut asked, false)?;
    *words = place;
    Ok(Some(Intent::Probe(asked)))
}

pub(super) fn list(words: &mut Words<'_>) -> Read {
    let mut place = *words;
    place.eat("show|list|get|display|give|print|find|which|what|tell|see|are|is|how|do|count? me|us|there|many|i|we?");
    place.eat("have|about");
    while place.eat("all|the|my|our|every|any|of|known|existing") {}
    let Some(kind) = kinds::several(&mut place) else { return Ok(None) };
    *words = place;
    let filter = filter(words, kind)?;
    Ok(Some(Intent::List { kind, filter }))
}

fn filter(words: &mut Words<'_>, kind: Kind) -> Result<Filter, Unknown> {
    words.eat("are|is|do|does? there|exist|known|i|we|you have?");
    if words.is_done() {
        return Ok(Filter::All);
    }
    words.eat("that|which|who");
    if words.eat("are|is? disabled|inactive|off|out of? service?") {
        return Ok(Filter::Disabled);
    }
    if words.eat("are|is? rate? limited|rate-limited|throttled") {
        return Ok(Filter::Plugin("limit-count".to_owned()));
    }
    if words.eat("are|is? protected|secured|authenticated") {
        return Ok(Filter::Plugin("key-auth".to_owned()));
    }
    if words.eat("with|have|has|having|carry? the|a? label|labels|labelled|labeled|tagged with?") {
        let label = words.take().ok_or_else(|| unknown(words, Some("which label is missing")))?;
        let label = pair(&label.text).map_or_else(|| label.text.clone(), |(key, value)| format!("{key}:{value}"));
        return Ok(Filter::Label(label));
    }
    let mut probe = *words;
    probe.eat("to? need|needs|require|requires|have|has|having|use|uses|using|with|without|ask|asks|demand|run|runs");
    let negated = words.sees("without");
    probe.eat("for");
    probe.eat("a|an|the|any|valid");
    if !negated
        && let Some(plugin) = kinds::plugin(&mut probe)
        && probe.is_done()
    {
        *words = probe;
        return Ok(Filter::Plugin(plugin));
    }
    let literal = |word: &&Word| word.is_path() || word.form == Form::Quoted || word.low.contains(['.', ':']);
    let goes = words.eat("go|goes|lead|leads|point|points|forward|forwards? to|through|via|behind")
        || words.eat("use|uses|using|with|of|on|have|need");
    words.eat("the");
    let called = words.eat("upstream|backend");
    let implied = goes && kind == Kind::Route && !words.sees("host|path|name|consumer") && words.peek().filter(literal).is_none();
    if called || implied {
        let called = name(words).ok_or_else(|| unknown(words, None))?;
        return Ok(Filter::Upstream(called));
    }
    words.eat("for|on|at|of|from|under|below|with|named|called|like|matching|containing");
    words.eat("the");
    words.eat("host|path|name|text|consumer|service|node");
    let text = match words.peek().filter(literal) {
        Some(word) => {
            words.take();
            // A node's scheme is no part of what is stored.
            Some(word.text.trim_start_matches("http://").trim_start_matches("https://").to_owned())
        }
        None => name(words),
    };
    text.map(Filter::Text).ok_or_else(|| unknown(words, None))
}

pub(super) fn show(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    let lead = probe.eat("show|get|display|describe|print|give|see|read|explain me|us?")
        || probe.eat("what is|what's|does? the?")
        || probe.eat("look at")
        || probe.eat("what's");
    if !lead {
        return Ok(None);
    }
    // A name alone could be anything: the kind or the path has to be said.
    let found: Option<(Reference, bool)> = target::reference(&mut probe, Kind::Route);
    probe.eat("look? like");
    // `give route x a limit` shows nothing.
    let found = found.filter(|(_, explicit)| *explicit && probe.is_done());
    Ok(found.map(|(reference, _)| {
        *words = probe;
        Intent::Show(reference)
    }))
}
