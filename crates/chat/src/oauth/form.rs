//! Forms and queries as OAuth has them: each parameter at most once (RFC 6749, section 3.1), few of them, none of them long.

use percent_encoding::percent_decode_str;

/// Parameters of one request.
const MOST: usize = 32;
/// Characters of one of them.
const LONGEST: usize = 8 * 1024;

/// What came.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `a=b&c=d`.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence for developers.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut all: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if value.len() > LONGEST {
                return Err(format!("{} is longer than {LONGEST} bytes", shown(&name)));
            }
            if all.iter().any(|(known, _)| *known == name) {
                return Err(format!("{} is given more than once", shown(&name)));
            }
            if all.len() >= MOST {
                return Err(format!("more than {MOST} parameters are given"));
            }
            all.push((name, value));
        }
        Ok(Self(all))
    }

    /// A parameter; one that is empty counts as left out.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A parameter that has to be there.
    ///
    /// # Errors
    /// The sentence that says it isn't.
    pub(super) fn need(&self, name: &str) -> Result<&str, String> {
        self.get(name).ok_or_else(|| format!("{name} is missing"))
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| "a parameter is not UTF-8".to_owned())
}

fn shown(name: &str) -> String {
    crate::tools::clean(name, 64)
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[test]
    fn parameters_are_read_once() {
        let form = Form::read("a=b+c%26&d=&e").unwrap();
        assert_eq!((form.get("a"), form.get("d"), form.get("e")), (Some("b c&"), None, None));
        assert_eq!(form.need("d").unwrap_err(), "d is missing");
        for wrong in
            ["a=1&a=2", "a=%ff", &"x=y&".repeat(2), &(0..40).map(|n| format!("p{n}=1&")).collect::<String>()]
        {
            assert!(Form::read(wrong).is_err(), "{wrong}");
        }
        assert!(Form::read(&format!("a={}", "x".repeat(9000))).is_err());
    }
}
