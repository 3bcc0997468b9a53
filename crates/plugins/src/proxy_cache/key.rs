//! What an answer is kept under.
//!
//! The user's parts, and beside them what no two clients may differ in and still get the same answer: scheme, port, and the consumer.

use usher_model::variables::Variables as _;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::BuildError;

use super::config::Value;

/// Variables that tell callers apart; a key that has one of them needs no consumer beside it.
const IDENTITY: &[&str] = &["consumer_name", "consumer_group_id", "remote_user", AUTHORIZATION];
/// The variable of the credential itself.
const AUTHORIZATION: &str = "http_authorization";

/// A constant or a variable.
pub(super) enum Part {
    Constant(Vec<u8>),
    Variable(String),
}

impl Part {
    /// Of what the user wrote.
    pub(super) fn of(value: &Value) -> Self {
        match value.0.strip_prefix('$') {
            Some(name) => Self::Variable(name.to_owned()),
            None => Self::Constant(value.0.as_bytes().to_vec()),
        }
    }

    fn with<T>(&self, exchange: &Exchange, use_it: impl FnOnce(Option<&[u8]>) -> T) -> T {
        match self {
            Self::Constant(text) => use_it(Some(text)),
            Self::Variable(name) => use_it(exchange.variable(name).as_deref()),
        }
    }
}

/// Whether one of these is neither empty nor `0`.
pub(super) fn any_is_set(parts: &[Part], exchange: &Exchange) -> bool {
    let set = |value: Option<&[u8]>| value.is_some_and(|value| !value.is_empty() && value != b"0");
    parts.iter().any(|part| part.with(exchange, set))
}

/// How keys are made.
pub(super) struct Recipe {
    parts: Vec<Part>,
    with_consumer: bool,
    with_credential: bool,
}

impl Recipe {
    /// From the user's parts.
    ///
    /// # Errors
    /// A part that can't be in a key.
    pub(super) fn new(values: &[Value], consumer_isolation: bool) -> Result<Self, BuildError> {
        if values.iter().any(|value| matches!(value.0.as_str(), "$request_method" | "$method")) {
            return Err(BuildError::new("cache_key variable $request_method unsupported"));
        }
        let names = |wanted: &[&str]| {
            values.iter().any(|value| value.0.strip_prefix('$').is_some_and(|name| wanted.contains(&name)))
        };
        Ok(Self {
            parts: values.iter().map(Part::of).collect(),
            with_consumer: consumer_isolation && !names(IDENTITY),
            with_credential: names(&[AUTHORIZATION]),
        })
    }

    /// Whether callers with different credentials have different keys.
    pub(super) const fn tells_credentials_apart(&self) -> bool {
        self.with_credential
    }

    /// The key of this request.
    pub(super) fn key(&self, exchange: &Exchange) -> Vec<u8> {
        let mut key = Vec::with_capacity(128);
        key.push(u8::from(exchange.request.tls));
        match exchange.request.port() {
            Some(port) => add(&mut key, Some(&port.to_be_bytes())),
            None => add(&mut key, None),
        }
        let consumer = exchange.consumer().filter(|_| self.with_consumer);
        add(&mut key, consumer.map(|consumer| consumer.name.as_bytes()));
        for part in &self.parts {
            part.with(exchange, |value| add(&mut key, value));
        }
        // An origin may tell an escaped slash from a slash, which variables don't.
        let request = &exchange.request;
        if request.asked_path() != request.original_path() {
            add(&mut key, Some(request.asked_path().as_bytes()));
        }
        key
    }
}

/// One value behind the others. Its length stands before it, so that no two rows of values make one key.
fn add(key: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => key.push(0),
        Some(value) => {
            key.push(1);
            key.extend_from_slice(&(value.len() as u64).to_be_bytes());
            key.extend_from_slice(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::add;

    #[test]
    fn no_two_rows_of_values_make_one_key() {
        let rows: &[&[Option<&str>]] = &[
            &[Some("ab"), Some("c")],
            &[Some("a"), Some("bc")],
            &[Some("abc"), None],
            &[None, Some("abc")],
            &[Some("abc"), Some("")],
        ];
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for row in rows {
            let mut key = Vec::new();
            row.iter().for_each(|value| add(&mut key, value.map(str::as_bytes)));
            assert!(!keys.contains(&key), "{row:?}");
            keys.push(key);
        }
    }
}
