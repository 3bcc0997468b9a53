//! One operation of a document: its parameters and its body.

use serde_json::Value;
use usher_pipeline::request::Request;

use super::Skipped;
use super::document::object;
use super::parameter::{Kind, Parameter, kind_of, read};
use super::schema::Compiler;
use crate::request_validation::reading;
use crate::request_validation::rules::Rules;

/// An operation.
pub(super) struct Operation {
    parameters: Vec<Parameter>,
    body: Option<BodyRules>,
}

struct BodyRules {
    is_needed: bool,
    /// By media type, in lower case.
    content: Vec<(String, Option<Content>)>,
}

/// What a body of one media type has to be.
struct Content {
    rules: Rules,
    kind: Kind,
}

impl Operation {
    /// Compiles an operation; `shared` are the parameters of its path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(compiler: &Compiler<'_>, shared: &[Value], written: &Value) -> Result<Self, String> {
        let own = written.get("parameters").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut parameters: Vec<Parameter> = Vec::new();
        for parameter in own.iter().chain(shared) {
            let parameter = Parameter::new(compiler, compiler.resolve(parameter)?)?;
            // An operation's own goes before one of its path.
            if !parameters.iter().any(|known| known.name == parameter.name && known.place == parameter.place)
            {
                parameters.push(parameter);
            }
        }
        let body = written.get("requestBody").map(|body| BodyRules::new(compiler, compiler.resolve(body)?));
        Ok(Self { parameters, body: body.transpose()? })
    }

    /// Judges a request; the body as it is to be forwarded, where it was read.
    ///
    /// # Errors
    /// What doesn't fit.
    pub(super) fn judge(
        &self,
        request: &Request,
        in_path: &[(&str, String)],
        body: &[u8],
        skipped: Skipped,
    ) -> Result<Option<Vec<u8>>, String> {
        let mut judged = self.parameters.iter().filter(|parameter| !parameter.is_skipped(skipped));
        judged.try_for_each(|parameter| parameter.judge(request, in_path))?;
        match &self.body {
            Some(rules) if !skipped.body => rules.judge(request, body),
            _ => Ok(None),
        }
    }
}

impl BodyRules {
    fn new(compiler: &Compiler<'_>, written: &Value) -> Result<Self, String> {
        let content = object(written, "content").into_iter().flatten().map(|(media, told)| {
            let compiled = told.get("schema").map(|schema| {
                Ok::<_, String>(Content {
                    rules: compiler.compile(schema)?,
                    kind: kind_of(compiler, schema, 0)?,
                })
            });
            let bare = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            Ok::<_, String>((
                bare,
                compiled.transpose().map_err(|reason| format!("body {media:?}: {reason}"))?,
            ))
        });
        Ok(Self {
            is_needed: written.get("required") == Some(&Value::Bool(true)),
            content: content.collect::<Result<_, _>>()?,
        })
    }

    fn judge(&self, request: &Request, body: &[u8]) -> Result<Option<Vec<u8>>, String> {
        if body.is_empty() {
            return if self.is_needed { Err("the body is missing".to_owned()) } else { Ok(None) };
        }
        let mut types = request.head.get_all("content-type");
        let media = types.next().map(|media| String::from_utf8_lossy(media).to_ascii_lowercase());
        if types.next().is_some() {
            return Err("the request has more than one Content-Type".to_owned());
        }
        let media =
            media.as_deref().unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
        let group = media.split('/').next().unwrap_or_default();
        let fits = |known: &str| known == media || known == format!("{group}/*") || known == "*/*";
        let found = self.content.iter().find(|(known, _)| known == media);
        let found = found.or_else(|| self.content.iter().find(|(known, _)| fits(known)));
        let Some((_, content)) = found else {
            return if self.content.is_empty() {
                Ok(None)
            } else {
                Err(format!("no body of type {media:?} is known"))
            };
        };
        let is_json = media == "application/json" || media.ends_with("+json");
        let is_form = media == "application/x-www-form-urlencoded";
        let Some(content) = content.as_ref().filter(|_| is_json || is_form) else { return Ok(None) };
        let plain = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
        if !request.head.get_all("content-encoding").all(plain) {
            return Err("a body with a Content-Encoding can't be validated: send it without".to_owned());
        }
        let mut found = if is_json { reading::json(body)? } else { reading::form(body)? };
        if is_form && let Kind::Object(members) = &content.kind {
            meant(&mut found.value, members);
        }
        content.rules.check(&found.value).map_err(|reason| format!("body: {reason}"))?;
        Ok(Some(found.written))
    }
}

/// Reads a form's texts as what they are meant to be.
fn meant(form: &mut Value, members: &[(String, Kind)]) {
    for (name, kind) in members {
        let Some(value) = form.get_mut(name) else { continue };
        match (kind, &mut *value) {
            (Kind::List(item), Value::Array(texts)) => {
                for text in texts {
                    if let Some(found) = text.as_str().map(|text| read(text, item)) {
                        *text = found;
                    }
                }
            }
            (Kind::List(item), Value::String(text)) => *value = Value::Array(vec![read(text, item)]),
            (kind, Value::String(text)) => *value = read(text, kind),
            _ => {}
        }
    }
}
