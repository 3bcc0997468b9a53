//! `chat-files` serves what a chat needs to use an API, made of the API's OpenAPI document.
//!
//! Behind the prefix lie `/.well-known/ai-plugin.json` (the manifest of ChatGPT's plugins of 2023), `/openapi.json` and `/openapi.yaml` (the document),
//! `/actions.json` (the same within the limits of GPT Actions) and `/logo.png`. Everybody who reaches the route reads them; the calls themselves take the API's
//! own routes, with the plugins that stand there. `usher import --openapi FILE --chat` makes such a route.
//!
//! Example: `{"spec": "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Shop\",\"version\":\"1\"},\"paths\":{\"/items\":{\"get\":{\"operationId\":\"listItems\",\"summary\":\"All items\"}}}}", "prefix": "/shop"}`

use std::collections::BTreeMap;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use usher_model::chat_files::{Auth, ChatFiles, File, PLACES, Wish};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::request::Request;
use usher_pipeline::spec::Spec;

/// `chat-files`.
pub(crate) static PLUGIN: Spec = Spec::of::<Door>();

/// The picture of an API that names none.
const LOGO: &[u8] = include_bytes!("../assets/api.png");
/// The largest document that is taken, in bytes.
const MAX_SPEC_BYTES: usize = 4 << 20;
/// Stands for where the API is reached until a request says it.
const SOMEWHERE: &str = "https://usher-serves-this.invalid";

/// Serves what a chat needs to use an API.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The OpenAPI document, 3.0 or 3.1, as JSON in a text.
    #[schemars(length(min = 1))]
    spec: String,
    /// What stands before each path of the document at the gateway, such as `/shop`.
    #[serde(default)]
    #[schemars(regex(pattern = "^(/[^?#*\\s]*[^/?#*\\s])?$"))]
    prefix: String,
    /// Where the gateway is reached, such as `https://api.example.com`. By default as the request says, which is wrong behind a proxy that ends TLS.
    #[schemars(regex(pattern = "^https?://[^/?#\\s\"]+$"))]
    url: Option<String>,
    /// How callers of the API show who they are. By default what the document says.
    auth: Option<Shown>,
    /// The operations that GPT Actions get, by `operationId`. By default the first 30.
    #[schemars(length(min = 1, max = 30))]
    operations: Option<Vec<String>>,
    /// Whom people write to. By default the document's contact.
    contact_email: Option<String>,
    /// Where the legal information is. By default the document's terms of service or licence.
    legal_info_url: Option<String>,
    /// Where the API's picture is. By default the document's `x-logo`, or `logo.png` of the gateway's own.
    logo_url: Option<String>,
}

/// How callers show who they are.
#[derive(Deserialize, JsonSchema)]
struct Shown {
    /// `none`; `bearer`, a token in `Authorization`; or `key`, in a header of its own, which the plugins of 2023 can't send.
    #[serde(rename = "type")]
    kind: Kind,
    /// With `key`: the header.
    header: Option<String>,
    /// With `bearer`: what a plugin store gave to prove whose the API is, by its name.
    #[serde(default)]
    verification_tokens: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    None,
    Bearer,
    Key,
}

struct Door {
    prefix: String,
    url: Option<String>,
    /// The files that can be served, each as the parts of its text around where the API is reached.
    files: Vec<(File, Vec<String>)>,
}

impl Plugin for Door {
    const NAME: &'static str = "chat-files";
    const PRIORITY: i32 = 502;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Now(Self::serve)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let wrong =
            |reason: String| BuildError::new(format!("property \"spec\" validation failed: {reason}"));
        if config.spec.len() > MAX_SPEC_BYTES {
            return Err(wrong(format!(
                "the document has {} bytes, at most {MAX_SPEC_BYTES} are taken",
                config.spec.len()
            )));
        }
        let document: Value =
            serde_json::from_str(&config.spec).map_err(|error| wrong(format!("it is no JSON: {error}")))?;
        let wish = Wish {
            prefix: config.prefix.clone(),
            auth: config.auth.map(auth).transpose()?,
            operations: config.operations,
            contact_email: config.contact_email,
            legal_info_url: config.legal_info_url,
            logo_url: config.logo_url,
        };
        let files = ChatFiles::new(&document, &wish).map_err(wrong)?;
        let texts = PLACES.iter().filter_map(|(_, file)| Some((*file, files.text(*file, SOMEWHERE)?)));
        let parts = |text: String| text.split(SOMEWHERE).map(str::to_owned).collect();
        let files = texts.map(|(file, text)| (file, parts(text))).collect();
        Ok(Self { prefix: config.prefix, url: config.url, files })
    }
}

fn auth(shown: Shown) -> Result<Auth, BuildError> {
    match (shown.kind, shown.header) {
        (Kind::None, _) => Ok(Auth::None),
        (Kind::Bearer, _) => Ok(Auth::Bearer(shown.verification_tokens)),
        (Kind::Key, Some(header)) if is_field_name(&header) => Ok(Auth::Key(header)),
        (Kind::Key, header) => Err(BuildError::new(format!(
            "property \"auth\" validation failed: {:?} is no header that could carry a key; write one in \"header\", such as apikey",
            header.unwrap_or_default()
        ))),
    }
}

fn is_field_name(name: &str) -> bool {
    usher_http1::head::Head::empty().set(name, "").is_ok()
}

impl Door {
    fn serve(&self, exchange: &mut Exchange) -> Flow {
        let request = &exchange.request;
        let path = request.original_path();
        let place = path.strip_prefix(self.prefix.as_str()).unwrap_or(path);
        let file = PLACES.iter().find(|(known, _)| *known == place).map(|(_, file)| *file);
        let reply = match file {
            Some(File::Logo) => Reply::text(200, File::Logo.media_type(), Bytes::from_static(LOGO)),
            Some(file) => self.text(file, request),
            None => {
                let places: Vec<String> =
                    PLACES.iter().map(|(place, _)| format!("{}{place}", self.prefix)).collect();
                Reply::error_msg(404, &format!("no file for chats is here; there are {}", places.join(", ")))
            }
        };
        // A chat in a browser reads them from a page of its own. What is in them depends on where they were asked for.
        reply
            .with("Access-Control-Allow-Origin", "*")
            .with("Cache-Control", "private, max-age=300")
            .with("X-Content-Type-Options", "nosniff")
            .into()
    }

    fn text(&self, file: File, request: &Request) -> Reply {
        match self.files.iter().find(|(known, _)| *known == file) {
            Some((_, parts)) => {
                let origin = self.url.clone().unwrap_or_else(|| origin(request));
                Reply::text(200, file.media_type(), parts.join(&origin))
            }
            None => Reply::error_msg(
                404,
                "callers of this API show a key in a header of its own, which plugins of 2023 can't send; actions.json is for GPT Actions",
            ),
        }
    }
}

/// Where the client reached the gateway, by its own word.
fn origin(request: &Request) -> String {
    // Nothing that could end the text it is put into.
    let host: String = request
        .host()
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || "-._[]:".contains(*letter))
        .collect();
    let port = request.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}", request.scheme())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_pipeline::harness::{harness, try_harness};

    use super::PLUGIN;

    fn spec() -> String {
        json!({ "openapi": "3.1.0", "info": { "title": "Shop", "version": "1" }, "paths": { "/items": { "get": {}, "post": {} } } }).to_string()
    }

    #[test]
    fn serves_each_file_with_where_it_was_asked_for() {
        let mut bench = harness(&PLUGIN, json!({ "spec": spec(), "prefix": "/shop" }));
        let manifest =
            bench.send("GET", "/shop/.well-known/ai-plugin.json", &[("Host", "api.test:8080")], "");
        assert_eq!(manifest.field("access-control-allow-origin"), Some("*"));
        let manifest: Value = serde_json::from_str(manifest.expect_status(200).text()).unwrap();
        assert_eq!(manifest["api"]["url"], "http://api.test:8080/shop/openapi.yaml");
        for place in ["openapi.json", "actions.json"] {
            let outcome = bench.send("GET", &format!("/shop/{place}"), &[("Host", "api.test")], "");
            let document: Value = serde_json::from_str(outcome.expect_status(200).text()).unwrap();
            assert_eq!(document["servers"], json!([{ "url": "http://api.test/shop" }]));
        }
        let yaml = bench.send("GET", "/shop/openapi.yaml", &[("Host", "api.test")], "");
        assert!(yaml.expect_status(200).text().contains("http://api.test/shop"));
        assert_eq!(bench.get("/shop/logo.png").expect_status(200).field("content-type"), Some("image/png"));
        assert!(bench.get("/shop/other").expect_status(404).text().contains("/shop/actions.json"));
    }

    #[test]
    fn a_fixed_address_and_a_key_in_a_header_are_told() {
        let mut bench = harness(
            &PLUGIN,
            json!({ "spec": spec(), "url": "https://x.example.com", "auth": { "type": "key", "header": "apikey" } }),
        );
        let document: Value = serde_json::from_str(bench.get("/actions.json").text()).unwrap();
        assert_eq!(document["servers"][0]["url"], "https://x.example.com");
        assert_eq!(document["components"]["securitySchemes"]["gateway"]["name"], "apikey");
        assert!(bench.get("/.well-known/ai-plugin.json").expect_status(404).text().contains("actions.json"));
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({}), "\"spec\" is required"),
            (json!({ "spec": "openapi: 3.1.0" }), "it is no JSON"),
            (json!({ "spec": "{\"swagger\": \"2.0\"}" }), "chats take OpenAPI 3.0 or 3.1"),
            (json!({ "spec": spec(), "prefix": "/shop/" }), "property \"prefix\" validation failed"),
            (json!({ "spec": spec(), "url": "https://a/b" }), "property \"url\" validation failed"),
            (json!({ "spec": spec(), "auth": { "type": "key" } }), "such as apikey"),
            (json!({ "spec": spec(), "operations": ["x"] }), "there is no operation \"x\""),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
