//! Sentences that only look: lists, objects, history, plugins, help; and undo, which names no object.

use usher_model::kind::Kind;

use super::clauses::{name, pair, unknown};
use super::intent::{Filter, Intent, Question, Reference, Target, Unknown};
use super::kinds;
use super::numbers;
use super::target;
use super::words::{Form, Word, Words};

type Read = Result<Option<Intent>, Unknown>;

/// `bye`; the conversation itself is ended by an empty line.
pub(super) fn bye(words: &mut Words<'_>) -> Read {
    let said = words.eat("exit|quit|bye|goodbye|leave|:q|logout") || words.eat("good bye");
    Ok((said && words.is_done()).then_some(Intent::Ask(Question::Bye)))
}

/// `is route speaker disabled?`, `does route speaker need a key?`
pub(super) fn trait_of(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    if !probe.eat("is|does|do|has") {
        return Ok(None);
    }
    let Some((of, true)) = target::reference(&mut probe, Kind::Route) else { return Ok(None) };
    let asked = |plugin, serves| Ok(Some(Intent::Ask(Question::Has { of: of.clone(), plugin, serves })));
    if probe.eat("disabled|inactive|off|paused") || probe.eat("out of service") {
        *words = probe;
        return asked(None, false);
    }
    if probe.eat("enabled|active|on|live|up") || probe.eat("in service") {
        *words = probe;
        return asked(None, true);
    }
    if probe.eat("rate? limited|throttled") || probe.eat("rate-limited") {
        *words = probe;
        return asked(Some("limit-count".to_owned()), true);
    }
    if probe.eat("protected|secured") {
        *words = probe;
        return asked(Some("key-auth".to_owned()), true);
    }
    while probe.eat("need|require|have|use|ask|for|a|an|the|any|valid") {}
    let Some(plugin) = kinds::plugin(&mut probe) else { return Ok(None) };
    if !probe.is_done() {
        return Ok(None);
    }
    *words = probe;
    asked(Some(plugin), true)
}

pub(super) fn help(words: &mut Words<'_>) -> Read {
    let asked = words.eat("help me? with? sentences|everything?")
        || words.eat("what can you|i|one do|say|ask here?")
        || words.eat("commands|?");
    if !asked {
        return Ok(None);
    }
    if words.is_done() {
        return Ok(Some(Intent::Ask(Question::Help)));
    }
    words.eat("with|for|on|about the? plugin?");
    let name = plugin_name(words).ok_or_else(|| unknown(words, None))?;
    Ok(Some(Intent::Ask(Question::Plugin(name))))
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
    if words.eat("that|it|this change?")
        || words.eat("the? last|latest|previous change|one|revision?")
        || words.is_done()
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
    let asked = words.eat("what|who has|was|have? changed|happened here?")
        || words.eat("what did anyone|anybody|someone|we|they|people? change|do|apply")
        || {
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
    let mut since = super::traffic::since(words);
    if since.is_none() {
        words.eat("lately|recently|so|last? far?");
    }
    let mut of = None;
    let mut tail = |words: &mut Words<'_>| {
        since = since.or_else(|| super::traffic::since(words));
        // Each change is told with the errors before and after it.
        words.eat(",");
        words.eat("and? did|do|have errors|failures? rise|risen|increase|grow|go after|since|up? after|since? it|that|them|then?");
    };
    tail(words);
    if words.eat("in|on|to|of|about|with|at|for") || !words.is_done() {
        of = match target::read(words) {
            Some((Target::One(reference), _)) => Some(reference),
            Some((Target::Everything, _)) => None,
            None => return Err(unknown(words, None)),
        };
        tail(words);
    }
    Ok(Some(Intent::Ask(Question::History { of, last, since })))
}

pub(super) fn overview(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    probe.eat("show|list|get|give|display|tell me|us?");
    probe.eat("what|which is|are?");
    probe.eat("are|is there? any?");
    probe.eat("the|your|any");
    let topic = probe.eat(
        "overview|status|health|state|traffic|problems|errors|listeners|ports|version of? the? gateway?",
    ) || probe.eat("busiest|most-used route|routes");
    let asked = topic
        || words.eat("how are|is you|it|things|everything|the|all gateway? going|doing?")
        || words.eat("what is|what's going on|up|happening?")
        || words.eat("what's up|going|happening on?")
        || words.eat("is everything|anything|all ok|okay|well|fine|wrong|broken")
        || words.eat("which|what route|routes is|are the? busiest|most-used");
    if topic {
        *words = probe;
    }
    Ok(asked.then_some(Intent::Ask(Question::Overview)))
}

pub(super) fn plugins(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    probe.eat("show|list|get|give|display|print|which|what me|us? all? the?");
    if probe.eat("plugins") {
        *words = probe;
        words.eat("are|do|can? there|exist|available|you|i|we? have|use|know?");
        return Ok(Some(Intent::Ask(Question::Plugins)));
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
    Ok(Some(Intent::Ask(Question::Plugin(name))))
}

pub(super) fn list(words: &mut Words<'_>) -> Read {
    let mut place = *words;
    place.eat("show|list|get|display|give|print|find|which|what|tell|see|are|is|how|do|count? me|us|there|many|i|we?");
    place.eat("have|about");
    while place.eat("all|the|my|our|every|any|of|known|existing") {}
    let Some(kind) = kinds::several(&mut place) else { return Ok(None) };
    *words = place;
    let filter = filter(words, kind)?;
    Ok(Some(Intent::Ask(Question::List { kind, filter })))
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
        let label =
            pair(&label.text).map_or_else(|| label.text.clone(), |(key, value)| format!("{key}:{value}"));
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
    let implied = goes
        && kind == Kind::Route
        && !words.sees("host|path|name|consumer")
        && words.peek().filter(literal).is_none();
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
    let found: Option<(Reference, bool)> = target::reference(&mut probe, Kind::Route);
    probe.eat("look? like");
    // `give route x a limit` shows nothing.
    let sure = words.sees("show|display|describe");
    let found = found.filter(|(_, explicit)| (*explicit || sure) && probe.is_done());
    Ok(found.map(|(reference, explicit)| {
        *words = probe;
        Intent::Ask(Question::Show(if explicit { reference } else { target::anything(reference) }))
    }))
}
