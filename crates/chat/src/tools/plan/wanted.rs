//! From the changes of a call to the service's edits: ids and names resolved, bodies read, patches merged.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use usher_model::change::Edit;
use usher_model::kind::{Key, Kind};
use usher_model::patch;

use super::super::Call;
use super::super::refusal::{Refusal, unknown_kind};
use super::super::repair::{ID, USERNAME};
use super::super::text::clean;

/// Changes in one plan.
const MOST: usize = 100;
/// Characters of an id that we make.
const MOST_ID: usize = 40;

/// What the service is asked for, and the state that the caller saw.
type Edits = (Vec<Edit>, Vec<(Key, Option<u64>)>);

impl Call<'_> {
    /// The edits of a list of changes.
    pub(super) fn edits<'a>(&'a self, changes: &'a [Value]) -> BoxFuture<'a, Result<Edits, Refusal>> {
        Box::pin(async move {
            if changes.is_empty() {
                return Err(Refusal::new("there are no changes").at("/changes").allowed("1 to 100 changes"));
            }
            if changes.len() > MOST {
                let count = changes.len();
                return Err(Refusal::new(format!("{count} changes are too many"))
                    .at("/changes")
                    .allowed("1 to 100; make several plans"));
            }
            let mut edits: Vec<Edit> = Vec::with_capacity(changes.len());
            let mut expect = Vec::with_capacity(changes.len());
            for (index, change) in changes.iter().enumerate() {
                let change = Change::read(change, format!("/changes/{index}"))?;
                let (key, after, seen) = self.edit(&change, &edits).await?;
                if edits.iter().any(|edit| edit.key == key) {
                    return Err(Refusal::new(format!("{key} is changed twice"))
                        .at(change.at)
                        .next("say it once, with all that is wanted of it"));
                }
                expect.push((key.clone(), seen));
                edits.push(Edit { key, after });
            }
            self.resolve_names(&mut edits).await?;
            Ok((edits, expect))
        })
    }

    async fn edit(
        &self,
        change: &Change<'_>,
        others: &[Edit],
    ) -> Result<(Key, Option<Value>, Option<u64>), Refusal> {
        if change.op == "create" {
            let mut body = change.body()?;
            let key = self.new_key(change, &body, others).await?;
            if self.stored(&key).await?.is_some() {
                return Err(Refusal::new(format!("{key} exists already"))
                    .at(format!("{}/id", change.at))
                    .next("op merge changes members of it, op replace all of it"));
            }
            claim(&key, &mut body, change)?;
            return Ok((key, Some(body.into()), None));
        }
        let key = self.known_key(change).await?;
        let Some(stored) = self.stored(&key).await? else {
            return Err(self.refuse(usher_admin::service::ServiceError::NotFound(key)));
        };
        let seen = Some(stored.modified);
        let after = match change.op {
            "delete" if change.body_json.is_null() => None,
            "delete" => {
                return Err(Refusal::new("a deletion has no body")
                    .at(format!("{}/body_json", change.at))
                    .allowed("null"));
            }
            "merge" => {
                let mut merged = stored.value;
                patch::merge(&mut merged, &change.body()?.into());
                if let Some(members) = merged.as_object_mut() {
                    claim(&key, members, change)?;
                }
                Some(merged)
            }
            _ => {
                let mut body = change.body()?;
                claim(&key, &mut body, change)?;
                Some(body.into())
            }
        };
        Ok((key, after, seen))
    }

    /// The key of an object that has to exist.
    async fn known_key(&self, change: &Change<'_>) -> Result<Key, Refusal> {
        let at = format!("{}/id", change.at);
        let named = match change.id {
            Some(id) => id.to_owned(),
            None if change.kind == Kind::Consumer && !change.body_json.is_null() => {
                change.body()?.get("username").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
            None => String::new(),
        };
        if named.is_empty() {
            return Err(Refusal::new(format!("op {} needs the id or name of an object", change.op)).at(at));
        }
        self.locate(change.kind, &named, &at).await
    }

    /// The key of an object that is made: the given id, or one made of its name, path or host.
    async fn new_key(
        &self,
        change: &Change<'_>,
        body: &Map<String, Value>,
        others: &[Edit],
    ) -> Result<Key, Refusal> {
        let at = format!("{}/id", change.at);
        let member = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(id) = change
            .id
            .or_else(|| member("id"))
            .or_else(|| (change.kind == Kind::Consumer).then(|| member("username")).flatten())
        {
            if let Some(form) = longer_id(change.kind) {
                let key = Key::new(change.kind, id);
                let known = Key::parse(&key.path()).filter(|parsed| *parsed == key);
                let key = known.ok_or_else(|| needs_longer_id(change.kind, form, &at))?;
                let own = id.rsplit('/').next().unwrap_or_default();
                return if is_id(own) { Ok(key) } else { Err(bad_id(change.kind, own, &at)) };
            }
            let fits = if change.kind == Kind::Consumer { is_username(id) } else { is_id(id) };
            if !fits {
                return Err(bad_id(change.kind, id, &at));
            }
            return Ok(Key::new(change.kind, id));
        }
        if let Some(form) = longer_id(change.kind) {
            return Err(needs_longer_id(change.kind, form, &at));
        }
        match change.kind {
            Kind::PluginMetadata => {
                return Err(Refusal::new("plugin metadata is called like its plugin")
                    .at(at)
                    .next("give that name as the id"));
            }
            Kind::Consumer => {
                return Err(
                    Refusal::new("a consumer needs its username").at(format!("{}/body_json", change.at))
                );
            }
            _ => {}
        }
        let first = |name: &str| {
            body.get(name).and_then(Value::as_array).and_then(|all| all.first()).and_then(Value::as_str)
        };
        let about = member("name")
            .or_else(|| member("uri"))
            .or_else(|| first("uris"))
            .or_else(|| member("host"))
            .or_else(|| first("hosts"))
            .or_else(|| member("sni"))
            .or_else(|| first("snis"));
        let slug = slug(about.unwrap_or_default());
        let base = if slug.is_empty() { change.kind.schema_name().replace('_', "-") } else { slug };
        for number in 1..=1_000 {
            let id = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            let key = Key::new(change.kind, id);
            if !others.iter().any(|edit| edit.key == key) && self.stored(&key).await?.is_none() {
                return Ok(key);
            }
        }
        Err(Refusal::new(format!("no id beginning with {base} is free")).at(at).next("give an id"))
    }
}

/// One change as the call has it.
struct Change<'a> {
    op: &'a str,
    kind: Kind,
    id: Option<&'a str>,
    body_json: &'a Value,
    at: String,
}

impl<'a> Change<'a> {
    fn read(change: &'a Value, at: String) -> Result<Self, Refusal> {
        let text = |name: &str| change.get(name).and_then(Value::as_str);
        let word = text("kind").unwrap_or_default();
        let kind = Kind::named(word).ok_or_else(|| unknown_kind(word, &format!("{at}/kind")))?;
        let id = text("id").map(str::trim).filter(|id| !id.is_empty());
        Ok(Self {
            op: text("op").unwrap_or_default(),
            kind,
            id,
            body_json: change.get("body_json").unwrap_or(&Value::Null),
            at,
        })
    }

    /// The body: JSON text of an object, or the object itself.
    fn body(&self) -> Result<Map<String, Value>, Refusal> {
        let at = format!("{}/body_json", self.at);
        let refused = |what: String| {
            let example = Value::from(example(self.kind));
            Refusal::new(what)
                .at(at.clone())
                .allowed(format!("the JSON text of an object of the kind {}, such as {example}", self.kind))
        };
        match self.body_json {
            Value::Object(members) => Ok(members.clone()),
            Value::String(text) => match serde_json::from_str::<Value>(text) {
                Ok(Value::Object(members)) => Ok(members),
                Ok(other) => {
                    Err(refused(format!("the body is {}, not an object", clean(&other.to_string(), 40))))
                }
                Err(error) => Err(refused(format!("the body is no JSON: {error}"))),
            },
            _ => Err(refused(format!("op {} needs a body", self.op))),
        }
    }
}

/// Puts the id where APISIX's objects carry it, takes out what isn't the caller's to say, and refuses a body that says it is another object.
fn claim(key: &Key, body: &mut Map<String, Value>, change: &Change<'_>) -> Result<(), Refusal> {
    let member = if key.kind == Kind::Consumer { "username" } else { "id" };
    let own = key.own_id();
    // The service sets the times; a caller who writes back what it read has them in it.
    body.shift_remove("create_time");
    body.shift_remove("update_time");
    let said = body.get(member).map(|said| said.as_str().map_or_else(|| said.to_string(), str::to_owned));
    match said {
        Some(said) if said != own && said != key.id => Err(Refusal::new(format!(
            "the body says {member} {:?}, the change is about {key}",
            clean(&said, 64)
        ))
        .at(format!("{}/body_json", change.at))
        .allowed(format!("{member} {own:?}, or none"))),
        _ => {
            body.insert(member.to_owned(), own.into());
            Ok(())
        }
    }
}

/// A small body of a kind.
const fn example(kind: Kind) -> &'static str {
    match kind {
        Kind::Route => r#"{"uri":"/a/*","upstream_id":"b"}"#,
        Kind::Service => r#"{"hosts":["a.example.com"],"upstream_id":"b"}"#,
        Kind::Upstream => r#"{"nodes":{"127.0.0.1:8080":1}}"#,
        Kind::Consumer => r#"{"username":"jack"}"#,
        Kind::Credential => r#"{"plugins":{"key-auth":{"key":"a secret"}}}"#,
        Kind::PluginConfig | Kind::GlobalRule | Kind::ConsumerGroup => r#"{"plugins":{"request-id":{}}}"#,
        Kind::Ssl => r#"{"sni":"a.example.com","cert":"$env://CERT","key":"$env://KEY"}"#,
        Kind::PluginMetadata => r#"{"log_format":{}}"#,
        Kind::Proto => r#"{"content":"syntax = \"proto3\"; message A {}"}"#,
        Kind::Secret => {
            r#"{"uri":"https://vault.example.com","prefix":"kv/apisix","token":"$env://VAULT_TOKEN"}"#
        }
        Kind::StreamRoute => r#"{"server_port":9100,"upstream_id":"b"}"#,
        Kind::CostDecoration => r#"{"field_path":"Query.users"}"#,
    }
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter))
}

fn is_username(id: &str) -> bool {
    (1..=256).contains(&id.len())
        && id.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-_".contains(&letter))
}

fn bad_id(kind: Kind, id: &str, at: &str) -> Refusal {
    let is_consumer = kind == Kind::Consumer;
    let what = if is_consumer { "username" } else { "id" };
    Refusal::new(format!("{:?} can't be the {what} of a {kind}", clean(id, 100)))
        .at(at)
        .allowed(if is_consumer { USERNAME } else { ID })
}

/// How the id of a kind looks whose objects live below others.
const fn longer_id(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Credential => Some("`consumer/credentials/id`, such as jack/credentials/first"),
        Kind::CostDecoration => {
            Some("`service/graphql_cost_decorations/id`, such as shop/graphql_cost_decorations/users")
        }
        Kind::Secret => Some("`manager/id` with the manager vault, aws or gcp, such as vault/1"),
        _ => None,
    }
}

fn needs_longer_id(kind: Kind, form: &str, at: &str) -> Refusal {
    let what = match kind {
        Kind::Credential => "a credential needs its consumer and an id",
        Kind::CostDecoration => "a cost decoration needs its service and an id",
        _ => "a secret manager needs its sort and an id",
    };
    Refusal::new(what).at(at).allowed(form)
}

/// An id of readable words.
fn slug(text: &str) -> String {
    let mut id = String::new();
    for letter in text.chars().take(200) {
        if letter.is_ascii_alphanumeric() {
            id.push(letter.to_ascii_lowercase());
        } else if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
        if id.len() == MOST_ID {
            break;
        }
    }
    id.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use usher_model::kind::{Key, Kind};
    use usher_model::schema::check;

    use super::{bad_id, example, is_id, is_username, longer_id, slug};

    #[test]
    fn each_kind_has_an_example_of_its_own() {
        for kind in Kind::ALL {
            let mut body: Value = serde_json::from_str(example(kind)).unwrap();
            if kind != Kind::Consumer {
                body["id"] = if kind == Kind::Secret { "vault/a" } else { "a" }.into();
            }
            check(kind, &body).unwrap();
        }
    }

    #[test]
    fn an_id_is_what_the_schema_takes() {
        for id in ["a", "A-b_c.9", "a b", "a/b", "", "ü", &"x".repeat(64), &"x".repeat(65)] {
            let body = serde_json::json!({ "id": id, "plugins": {} });
            assert_eq!(is_id(id), check(Kind::PluginConfig, &body).is_ok(), "{id}");
            let body = serde_json::json!({ "username": id });
            assert_eq!(is_username(id), check(Kind::Consumer, &body).is_ok(), "{id}");
        }
        let said = bad_id(Kind::Route, "a b", "/changes/0/id").to_string();
        assert!(said.contains("1 to 64 letters, digits, - _ or ."), "{said}");
    }

    #[test]
    fn ids_are_made_of_what_an_object_is_called() {
        for (text, id) in [
            ("Conference API", "conference-api"),
            ("/speaker/*", "speaker"),
            ("*.example.com", "example-com"),
            ("/*", ""),
            ("日本", ""),
            ("/a/b/:id", "a-b-id"),
        ] {
            assert_eq!(slug(text), id);
        }
        assert!(slug(&"long ".repeat(50)).len() <= 40);
    }

    #[test]
    fn what_lives_below_another_is_named_with_it() {
        for kind in Kind::ALL {
            let whole = Key::parse(&Key::new(kind, "a").path()).is_some_and(|key| key.kind == kind);
            assert_eq!(longer_id(kind).is_none(), whole, "{kind}");
        }
    }
}
