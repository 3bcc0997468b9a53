//! XML as data: an element is a member of its parent, a text where it has neither attributes nor elements in it, a list where it comes again.
//!
//! Names lose what a namespace puts in front of them. Nothing is fetched and no entity is known but the five of XML itself.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

/// How deep elements may lie in each other.
const DEEPEST: usize = 64;
/// The most elements and attributes.
const MOST: usize = 100_000;

/// An element that is being read.
#[derive(Default)]
struct Element {
    name: String,
    members: Map<String, Value>,
    attributes: Map<String, Value>,
    text: String,
}

/// The document's root in an object.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|_| "it is no UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text);
    let mut open = vec![Element::default()];
    let mut count = 0;
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match event {
            Event::Start(start) => {
                if open.len() > DEEPEST {
                    return Err(format!("its elements lie more than {DEEPEST} deep in each other"));
                }
                open.push(Element::of(&start, &mut count)?);
            }
            Event::Empty(start) => close(&mut open, Element::of(&start, &mut count)?)?,
            Event::End(_) => {
                // The reader has seen to it that the names are the same.
                let element = open.pop().ok_or("an element ends that never began")?;
                close(&mut open, element)?;
            }
            Event::Text(text) => say(&mut open, &text),
            Event::CData(text) => say(&mut open, &text),
            Event::GeneralRef(reference) => {
                let letter = match reference.resolve_char_ref().map_err(|error| error.to_string())? {
                    Some(letter) => letter.to_string(),
                    None => {
                        let known = quick_xml::escape::resolve_predefined_entity(&reference);
                        known.ok_or_else(|| format!("the entity {} is not known", &*reference))?.to_owned()
                    }
                };
                say(&mut open, &letter);
            }
            Event::DocType(_) => return Err("a document type is not read".to_owned()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(document), true) if !document.members.is_empty() && document.text.trim().is_empty() => {
            Ok(Value::Object(document.members))
        }
        (_, true) => Err("it is no XML".to_owned()),
        _ => Err("an element has no end".to_owned()),
    }
}

impl Element {
    fn of(start: &BytesStart<'_>, count: &mut usize) -> Result<Self, String> {
        let mut element = Self { name: local(start.name().as_ref()), ..Self::default() };
        *count += 1;
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            *count += 1;
            let value = quick_xml::escape::unescape(&attribute.value).map_err(|error| error.to_string())?;
            element.attributes.insert(local(attribute.key.as_ref()), value.into_owned().into());
        }
        if *count > MOST {
            return Err(format!("it has more than {MOST} elements and attributes"));
        }
        Ok(element)
    }

    fn value(self) -> Value {
        let text = self.text.trim();
        if self.members.is_empty() && self.attributes.is_empty() {
            return text.into();
        }
        let mut members = self.members;
        if !self.attributes.is_empty() {
            members.insert("_attr".to_owned(), Value::Object(self.attributes));
            if !text.is_empty() {
                // What templates read as the first item of the element.
                members.insert("1".to_owned(), text.into());
            }
        }
        Value::Object(members)
    }
}

/// The name without its namespace.
fn local(name: &str) -> String {
    name.rsplit(':').next().unwrap_or(name).to_owned()
}

fn say(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn close(open: &mut [Element], mut element: Element) -> Result<(), String> {
    let parent = open.last_mut().ok_or("an element ends that never began")?;
    let name = std::mem::take(&mut element.name);
    let value = element.value();
    match parent.members.get_mut(&name) {
        None => drop(parent.members.insert(name, value)),
        Some(Value::Array(many)) => many.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read;

    #[test]
    fn elements_become_members() {
        for (text, wanted) in [
            ("<a/>", json!({ "a": "" })),
            (
                "<?xml version=\"1.0\"?><!-- c --><a> t &lt;&#65;<![CDATA[<b>]]> </a>",
                json!({ "a": "t <A<b>" }),
            ),
            (
                "<s:Envelope xmlns:s=\"urn:x\"><s:Body><n:x>1</n:x><x>2</x><x/></s:Body></s:Envelope>",
                json!({ "Envelope": { "Body": { "x": ["1", "2", ""] }, "_attr": { "s": "urn:x" } } }),
            ),
            ("<a k=\"v &amp; w\">text</a>", json!({ "a": { "_attr": { "k": "v & w" }, "1": "text" } })),
            ("<a>mixed<b>x</b>text</a>", json!({ "a": { "b": "x" } })),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_xml_or_more_than_it_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
        let many = format!("<a>{}</a>", "<b/>".repeat(100_001));
        for text in [
            "",
            "text",
            "<a>",
            "</a>",
            "<a></b>",
            "<a>&lol;</a>",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
            "<a k=\"&e;\"/>",
            deep.as_str(),
            many.as_str(),
        ] {
            assert!(read(text.as_bytes()).is_err(), "{}", text.chars().take(60).collect::<String>());
        }
        assert!(read(b"<a>\xff</a>").is_err());
    }
}
