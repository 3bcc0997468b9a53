//! What must hold of any small language of the configuration: expressions, templates, references, masks, seals, scopes, certificates and
//! protobuf definitions. Used by the fuzz targets, and by tests that replay their corpora on the stable compiler.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;
use usher_model::certificate::{self, Certificate};
use usher_model::expr::Expr;
use usher_model::kind::Kind;
use usher_model::mask::{FieldPath, is_mask, mask_at, unmask};
use usher_model::protobuf;
use usher_model::reference::{Reference, is_reference};
use usher_model::scope::Scope;
use usher_model::seal::Keyring;
use usher_model::template::Template;
use usher_model::variables::Variables;

/// Every variable there may be: its own name, or a list of two.
struct Named;

impl Variables for Named {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        (!name.len().is_multiple_of(3)).then(|| Cow::Owned(name.as_bytes().to_vec()))
    }

    fn list(&self, name: &str) -> Option<Vec<Cow<'_, [u8]>>> {
        name.len()
            .is_multiple_of(2)
            .then(|| vec![Cow::Borrowed(b"a".as_slice()), Cow::Owned(name.as_bytes().to_vec())])
    }
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// `vars` of a route: one list in JSON.
///
/// # Errors
/// What doesn't hold.
pub fn expression(data: &[u8]) -> Result<(), String> {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return Ok(()) };
    let expression = match Expr::parse(&value) {
        Ok(expression) => expression,
        Err(bad) if bad.0.is_empty() => return Err("it is refused without a word".to_owned()),
        Err(_) => return Ok(()),
    };
    let holds = expression.eval(&Named);
    if expression.eval(&Named) != holds {
        return Err("it holds only sometimes".to_owned());
    }
    if expression.first_false(&Named).is_some() == holds {
        return Err(format!("it holds: {holds}, but what doesn't is told otherwise"));
    }
    Ok(())
}

/// A text with variables in it.
///
/// # Errors
/// What doesn't hold.
pub fn template(data: &[u8]) -> Result<(), String> {
    let Some(text) = text(data) else { return Ok(()) };
    let template = Template::parse(text);
    let filled = template.render(&Named);
    if template.is_constant() != (template.names().count() == 0) {
        return Err("it says that it is constant, and names variables".to_owned());
    }
    if template.is_constant() && template.as_constant() != Some(&filled) {
        return Err(format!("a constant text becomes {filled:?}"));
    }
    let mut bytes = Vec::new();
    template.render_into(&Named, &mut bytes);
    if String::from_utf8_lossy(&bytes) != filled {
        return Err("as bytes it is another text".to_owned());
    }
    Ok(())
}

/// A reference to a secret that is kept elsewhere.
///
/// # Errors
/// What doesn't hold.
pub fn reference(data: &[u8]) -> Result<(), String> {
    let Some(text) = text(data) else { return Ok(()) };
    match Reference::parse(text) {
        None if is_reference(text) => Err("it looks like a reference, and is none".to_owned()),
        None => Ok(()),
        Some(_) if !is_reference(text) => Err("it is a reference, and doesn't look like one".to_owned()),
        Some(Err(bad)) if format!("{bad:?}").is_empty() => Err("it is refused without a word".to_owned()),
        Some(Err(_)) => Ok(()),
        Some(Ok(reference)) => match Reference::parse(&reference.to_string()) {
            Some(Ok(again)) if again.to_string() == reference.to_string() => Ok(()),
            _ => Err(format!("written as {reference} it reads otherwise")),
        },
    }
}

/// A scope in JSON, and a route in JSON on the next line.
///
/// # Errors
/// What doesn't hold.
pub fn scope(data: &[u8]) -> Result<(), String> {
    let Some(text) = text(data) else { return Ok(()) };
    let (scope, route) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(scope) = serde_json::from_str::<Scope>(scope) else { return Ok(()) };
    let Ok(route) = serde_json::from_str::<Value>(route) else { return Ok(()) };
    if scope.check().is_err() {
        return Ok(());
    }
    let misfit = scope.misfit(Kind::Route, &route, None);
    if scope.is_all() && misfit.is_some() {
        return Err("something lies outside of everything".to_owned());
    }
    let wider = Scope { labels: Vec::new(), ..scope.clone() };
    if misfit.is_none() && wider.misfit(Kind::Route, &route, None).is_some() {
        return Err("what lies inside lies outside of a wider one".to_owned());
    }
    let written = serde_json::to_string(&scope).map_err(|error| error.to_string())?;
    match serde_json::from_str::<Scope>(&written) {
        Ok(again) if again == scope => Ok(()),
        _ => Err(format!("{written} reads otherwise")),
    }
}

/// Anything as a certificate, an authority, a key, and a pair.
///
/// # Errors
/// What doesn't hold.
pub fn certificates(data: &[u8]) -> Result<(), String> {
    let Some(text) = text(data) else { return Ok(()) };
    let read = Certificate::read(text);
    if read.is_ok() && certificate::line(text).is_none() {
        return Err("it can be read, but not told in a line".to_owned());
    }
    if let Ok(read) = &read {
        for name in read.names.iter().filter(|name| !name.starts_with('*')) {
            if !read.covers(name) {
                return Err(format!("it is for {name}, and doesn't cover it"));
            }
        }
    }
    let _ = certificate::check_authority(text);
    let _ = certificate::check_rsa_key(text);
    let _ = certificate::check_pair(text, text);
    Ok(())
}

/// Anything as a protobuf definition.
///
/// # Errors
/// What doesn't hold.
pub fn protobuf(data: &[u8]) -> Result<(), String> {
    let Some(text) = text(data) else { return Ok(()) };
    match protobuf::compile(text) {
        Ok(set) if set.is_empty() => Err("it compiles to nothing".to_owned()),
        Err(sentence) if sentence.is_empty() => Err("it is refused without a word".to_owned()),
        _ => Ok(()),
    }
}

/// A value in JSON whose member `a.b` is secret, and what is written back after it was read masked.
///
/// # Errors
/// What doesn't hold.
pub fn mask(data: &[u8]) -> Result<(), String> {
    let Ok(stored) = serde_json::from_slice::<Value>(data) else { return Ok(()) };
    let ring = Keyring::new(&[vec![7; 32]]).map_err(|error| error.to_string())?;
    let paths = [FieldPath::parse("a.b"), FieldPath::parse("c")];
    let mut secrets = BTreeSet::new();
    let mut seen = stored.clone();
    for path in &paths {
        path.for_each_mut(&mut seen, &mut |text| {
            secrets.insert(text.clone());
        });
    }
    mask_at(&ring, "/apisix/routes/1", &mut seen, &paths);
    let shown = seen.to_string();
    let long = |text: &&String| text.len() > 16 && !is_reference(text) && !is_mask(text);
    if let Some(leaked) = secrets.iter().filter(long).find(|text| shown.contains(text.as_str()))
        && !stored_elsewhere(&stored, leaked, &paths)
    {
        return Err(format!("{leaked:?} is shown"));
    }
    let has_masks = secrets.iter().any(|text| is_mask(text));
    let mut back = seen.clone();
    match unmask(&ring, "/apisix/routes/1", &mut back, Some(&stored), &paths) {
        Ok(()) if back != stored && !has_masks => Err(format!("{stored} comes back as {back}")),
        Err(error) if !has_masks => Err(format!("its own masks are refused: {error}")),
        _ => Ok(()),
    }
}

/// Whether the text also stands where nothing is secret.
fn stored_elsewhere(stored: &Value, secret: &str, paths: &[FieldPath]) -> bool {
    let mut without = stored.clone();
    for path in paths {
        path.for_each_mut(&mut without, &mut String::clear);
    }
    without.to_string().contains(secret)
}

/// Anything as a sealed text.
///
/// # Errors
/// What doesn't hold.
pub fn seal(data: &[u8]) -> Result<(), String> {
    let Some(text) = text(data) else { return Ok(()) };
    let ring = Keyring::new(&[vec![7; 32]]).map_err(|error| error.to_string())?;
    let ring = ring.with_apisix(&[vec![9; 16]], true).map_err(|error| error.to_string())?;
    if ring.open("place", text).is_ok() {
        return Err("a seal of nobody's is opened".to_owned());
    }
    let _ = ring.open_marked("place", text);
    let sealed = ring.seal("place", text).map_err(|error| error.to_string())?;
    if ring.open("place", &sealed).as_deref() != Ok(text) {
        return Err("what was sealed is not what is opened".to_owned());
    }
    if ring.open("elsewhere", &sealed).is_ok() {
        return Err("a seal is opened in another place".to_owned());
    }
    Ok(())
}
