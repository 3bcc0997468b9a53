//! Brings a JSON value below a size, so that one large object doesn't fill a model's context.

use serde_json::{Map, Value};

/// Characters of JSON in one answer: about 2,500 tokens, so that text and structured form together stay near 6,000.
pub(super) const MOST_JSON: usize = 8_000;

/// How many items, and how many characters of a text, are kept at each try.
const TRIES: [(usize, usize); 5] = [(25, 2_000), (10, 500), (5, 120), (2, 40), (1, 20)];

/// Shortens lists, objects and texts until the value's JSON fits. Says whether anything was left out; what was is counted in its place.
pub(super) fn shorten(value: &mut Value, most: usize) -> bool {
    if value.to_string().len() <= most {
        return false;
    }
    let whole = std::mem::take(value);
    for (items, letters) in TRIES {
        let shorter = cut(&whole, items, letters);
        if shorter.to_string().len() <= most {
            *value = shorter;
            return true;
        }
    }
    let mut members = Map::new();
    members.insert("…".to_owned(), "too long to show".into());
    *value = Value::Object(members);
    true
}

fn cut(value: &Value, items: usize, letters: usize) -> Value {
    match value {
        Value::String(text) if text.chars().count() > letters => {
            let kept: String = text.chars().take(letters).collect();
            format!("{kept}… ({} characters)", text.chars().count()).into()
        }
        Value::Array(all) => {
            let mut kept: Vec<Value> = all.iter().take(items).map(|item| cut(item, items, letters)).collect();
            if all.len() > items {
                kept.push(format!("… {} more", all.len() - items).into());
            }
            kept.into()
        }
        Value::Object(all) => {
            // The members of an object are what it is made of: more of them are kept than of a list.
            let most = items * 4;
            let mut kept: Map<String, Value> = all
                .iter()
                .take(most)
                .map(|(name, member)| (name.clone(), cut(member, items, letters)))
                .collect();
            if all.len() > most {
                kept.insert("…".to_owned(), format!("{} more", all.len() - most).into());
            }
            kept.into()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::shorten;

    #[test]
    fn what_fits_stays_and_what_does_not_is_counted() {
        let mut small = json!({ "a": [1, 2, 3] });
        assert!(!shorten(&mut small, 100));
        assert_eq!(small, json!({ "a": [1, 2, 3] }));
        let mut long = json!({ "hosts": (0..2_000).map(|n| format!("h{n}.example")).collect::<Vec<_>>(), "desc": "x".repeat(9_000) });
        assert!(shorten(&mut long, 4_000));
        assert!(long.to_string().len() <= 4_000);
        assert_eq!(long["hosts"].as_array().unwrap().last().unwrap(), "… 1975 more");
        assert!(long["desc"].as_str().unwrap().ends_with("… (9000 characters)"));
    }

    #[test]
    fn even_what_is_all_names_fits() {
        let mut wide =
            Value::Object((0..5_000).map(|n| (format!("{n}{}", "y".repeat(200)), json!(1))).collect());
        assert!(shorten(&mut wide, 500));
        assert!(wide.to_string().len() <= 500, "{wide}");
    }
}
