//! What an object is besides: its name, labels, key, numbers and switches.

use usher_model::kind::Kind;
use usher_model::secret::Secret;

use super::super::intent::{Unknown, Wish};
use super::super::numbers as said;
use super::super::words::{Form, Words};
use super::{bad, name, series, take_if, unknown};

/// An object that is written out in JSON.
pub(super) fn written(words: &mut Words<'_>, wish: &mut Wish, _: Kind) -> Result<bool, Unknown> {
    let Some(word) = words.peek().filter(|word| word.form == Form::Json) else { return Ok(false) };
    if wish.written.is_some() {
        return Err(unknown(words, Some("one object is enough")));
    }
    wish.written = serde_json::from_str(&word.text).ok();
    words.take();
    Ok(true)
}

/// `with key s3cret`, of a consumer or a credential.
pub(super) fn key(words: &mut Words<'_>, wish: &mut Wish, kind: Kind) -> Result<bool, Unknown> {
    if !matches!(kind, Kind::Consumer | Kind::Credential) {
        return Ok(false);
    }
    let mut probe = *words;
    probe.eat("with|and? the|a|an|its?");
    if !probe.eat("api? key") && !probe.eat("api-key|apikey") {
        return Ok(false);
    }
    probe.eat("is|to|=");
    let Some(word) = probe.take().filter(|word| word.secret) else { return Ok(false) };
    if wish.key.is_some() {
        return Err(bad(&[], "one key is enough"));
    }
    wish.key = Some(Secret::new(word.text.clone()));
    *words = probe;
    Ok(true)
}

/// `with plugin config strict`.
pub(super) fn plugin_config(words: &mut Words<'_>, wish: &mut Wish, _: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    probe.eat("with|using|use");
    if !probe.eat("the? plugin config|configuration") && !probe.eat("the? plugin-config|plugin_config") {
        return Ok(false);
    }
    wish.plugin_config = Some(name(&mut probe).ok_or_else(|| unknown(words, Some("which one is missing")))?);
    *words = probe;
    Ok(true)
}

/// `called x`, `with id x`, `described as "..."`.
pub(super) fn called(words: &mut Words<'_>, wish: &mut Wish, _: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    let place = if probe.eat("named|called") || probe.eat("with|and? the? name is|to?") {
        &mut wish.name
    } else if probe.eat("with|and? the? id is|to?") {
        &mut wish.id
    } else if probe.eat("described as") || probe.eat("with|and? a|the? description|desc is|to?") {
        &mut wish.desc
    } else {
        return Ok(false);
    };
    let called = name(&mut probe).ok_or_else(|| unknown(words, Some("the name is missing")))?;
    *place = Some(called);
    *words = probe;
    Ok(true)
}

/// `label env=test and team=web`.
pub(super) fn labels(words: &mut Words<'_>, wish: &mut Wish, _: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    if !probe.eat("with|and? the|a? label|labels|labelled|labeled|tagged with|as?") {
        return Ok(false);
    }
    let labels = series(&mut probe, |words, _| {
        take_if(words, |word| pair(&word.text).is_some()).and_then(|word| pair(&word.text))
    });
    wish.labels.extend(labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    if wish.labels.is_empty() {
        return Err(unknown(words, Some("a label is written as key=value")));
    }
    *words = probe;
    Ok(true)
}

/// A label as it is written.
pub(crate) fn pair(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=').or_else(|| text.split_once(':'))?;
    (!key.is_empty() && !value.is_empty() && !value.starts_with('/')).then_some((key, value))
}

/// `priority 10`, `timeout of 5 seconds`, `3 retries`.
pub(super) fn numbers(words: &mut Words<'_>, wish: &mut Wish, _: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    if probe.eat("with|and? a|the? priority of|is|to?") {
        let number = probe.take().and_then(|word| word.low.parse().ok());
        wish.priority = Some(number.ok_or_else(|| unknown(words, Some("a priority is a whole number")))?);
        *words = probe;
        return Ok(true);
    }
    if probe.eat("with|and? a|the? timeout|timeouts of|is|to|after?") {
        let secs = duration_secs(&mut probe).filter(|secs| *secs > 0);
        let reason = "a timeout is a time such as 5 seconds";
        wish.timeout_secs = Some(secs.ok_or_else(|| unknown(words, Some(reason)))?);
        *words = probe;
        return Ok(true);
    }
    let mut counted = *words;
    counted.eat("with|and");
    if let Some(number) = said::number(&mut counted)
        && counted.eat("retry|retries")
    {
        wish.retries = Some(number);
        *words = counted;
        return Ok(true);
    }
    Ok(false)
}

fn duration_secs(words: &mut Words<'_>) -> Option<u64> {
    let word = words.peek()?;
    let digits = word.low.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = word.low.split_at_checked(digits)?;
    if let (Ok(number), Some(secs)) = (number.parse::<u64>(), said::unit_secs(unit)) {
        words.take();
        return number.checked_mul(secs);
    }
    let number = said::number(words)?;
    let secs = words.peek().and_then(|word| said::unit_secs(&word.low));
    if secs.is_some() {
        words.take();
    }
    number.checked_mul(secs.unwrap_or(1))
}

/// `with websocket`, `disabled`.
pub(super) fn switches(words: &mut Words<'_>, wish: &mut Wish, kind: Kind) -> Result<bool, Unknown> {
    let mut probe = *words;
    probe.eat("with|and|allow|allowing|enable");
    if probe.eat("websocket|websockets support|enabled|connections?") || probe.eat("web sockets support?") {
        wish.websocket = Some(true);
    } else if kind == Kind::Route && probe.eat("disabled|inactive") {
        wish.disabled = true;
    } else {
        return Ok(false);
    }
    *words = probe;
    Ok(true)
}
