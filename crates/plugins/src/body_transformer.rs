//! `body-transformer` makes another body of a request's or an answer's: it reads XML, JSON, forms, arguments or multipart, and writes what a template
//! says.
//!
//! Templates are written in the language of lua-resty-template and run in a sandbox, bounded in time and memory. Of an answer that can't be
//! transformed, nothing is sent: it is cut visibly, so that nobody takes a half of it for the whole.
//!
//! Example: `{"request": {"input_format": "xml", "template": "{\"city\": \"{{GetWeather.city}}\"}"}}`

mod input;
mod multipart;
mod xml;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_model::variables::Variables;
use usher_pipeline::body::{Body, BodyError, BodyStep};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::{AnsweredBy, Exchange};
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;
use usher_script::Template;

use crate::held::{Held, forget_old_body};
use crate::schema::{MAX_BODY_BYTES, any_of_required, number};
use input::Format;

/// `body-transformer`.
pub(crate) static PLUGIN: Spec = Spec::of::<BodyTransformer>();

/// Makes other bodies of those of requests and answers; at least one of the two has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = any_of_required(&[&["request"], &["response"], &["request", "response"]]))]
struct Config {
    /// What becomes of requests' bodies.
    request: Option<Written>,
    /// What becomes of answers' bodies.
    response: Option<Written>,
    /// The largest body of a request that is read, in bytes, at least 1.
    #[serde(default = "number::<MAX_BODY_BYTES>")]
    #[schemars(range(min = 1))]
    max_req_body_size: u64,
    /// The largest body of an answer that is read, in bytes, at least 1.
    #[serde(default = "number::<MAX_BODY_BYTES>")]
    #[schemars(range(min = 1))]
    max_resp_body_size: u64,
}

/// One direction.
#[derive(Deserialize, JsonSchema)]
struct Written {
    /// How the body is read. Where it isn't given, the body's content type says it; a GET is read by its arguments always.
    input_format: Option<Format>,
    /// What is written, in the language of lua-resty-template; also in base64.
    template: String,
    /// Whether the template is in base64. With an `input_format` other than `encoded` and `args` one that may be is taken for it anyway.
    template_is_base64: Option<bool>,
}

struct BodyTransformer {
    request: Option<Side>,
    answer: Option<Arc<Side>>,
    max_request_bytes: u64,
    max_answer_bytes: u64,
}

/// One direction, ready.
struct Side {
    name: &'static str,
    format: Option<Format>,
    /// The template as it stands.
    plain: Option<Template>,
    /// The template that stands there in base64.
    coded: Option<Template>,
}

/// Why nothing could be made of a body: the status, and the sentence.
type Refused = (u16, String);

impl Plugin for BodyTransformer {
    const NAME: &'static str = "body-transformer";
    const PRIORITY: i32 = 1080;
    const PHASES: Phases<Self> = Phases {
        rewrite: Some(Hook::Later(Self::rewrite)),
        header_filter: Some(Self::head),
        body_filter: Some(Self::body),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let side =
            |name, written: Option<Written>| written.map(|written| Side::new(name, written)).transpose();
        Ok(Self {
            request: side("request", config.request)?,
            answer: side("response", config.response)?.map(Arc::new),
            max_request_bytes: config.max_req_body_size,
            max_answer_bytes: config.max_resp_body_size,
        })
    }
}

impl Side {
    fn new(name: &'static str, written: Written) -> Result<Self, BuildError> {
        let compiled = |text: &str| {
            Template::compile("template", text)
                .map_err(|error| BuildError::new(format!("{name} template compile: {error}")))
        };
        let decoded = STANDARD.decode(&written.template).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.filter(|text| !text.is_empty());
        let is_coded = written.template_is_base64 == Some(true) && decoded.is_some();
        Ok(Self {
            name,
            format: written.input_format,
            plain: (!is_coded).then(|| compiled(&written.template)).transpose()?,
            coded: decoded.map(|text| compiled(&text)).transpose()?,
        })
    }

    /// How the body is read: as it was written, or by its type.
    fn format(&self, content_type: Option<&str>) -> Option<Format> {
        self.format.or_else(|| Format::of(content_type?))
    }

    fn template(&self, format: Option<Format>) -> Option<&Template> {
        let prefers_coded = format.is_some_and(|format| !matches!(format, Format::Encoded | Format::Args));
        let (first, second) =
            if prefers_coded { (&self.coded, &self.plain) } else { (&self.plain, &self.coded) };
        first.as_ref().or(second.as_ref())
    }

    /// The new body.
    ///
    /// # Errors
    /// [`Refused`].
    fn render(
        &self,
        format: Option<Format>,
        body: Option<&[u8]>,
        content_type: Option<&str>,
        arguments: &str,
        variables: &dyn Variables,
    ) -> Result<Vec<u8>, Refused> {
        let data = match format {
            Some(Format::Plain) | None => Value::Object(Map::new()),
            Some(Format::Args) => input::arguments(arguments),
            Some(format) => match body {
                None => Value::Object(Map::new()),
                Some(body) => format
                    .read(body, content_type)
                    .map_err(|error| (400, format!("{} body decode: {error}", self.name)))?,
            },
        };
        let Some(template) = self.template(format) else {
            return Err((503, format!("{} template compile: there is none", self.name)));
        };
        template
            .render(&data, body, variables)
            .map_err(|error| (503, format!("{} template rendering: {error}", self.name)))
    }
}

impl BodyTransformer {
    fn rewrite<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let Some(side) = &self.request else { return Flow::Continue };
            let body = match exchange.request.body.read_whole(self.max_request_bytes).await {
                Ok(body) => body,
                Err(BodyError::TooLarge { .. }) => return Reply::new(413).into(),
                Err(error) => return Reply::new(error.status()).into(),
            };
            let body = Some(&*body).filter(|body| !body.is_empty());
            let content_type = exchange.request.head.get_str("content-type");
            let format = match exchange.request.method() {
                "GET" => Some(Format::Args),
                _ => side.format(content_type),
            };
            let arguments = exchange.request.query().unwrap_or_default();
            match side.render(format, body, content_type, arguments, exchange) {
                Ok(new) => {
                    exchange.request.body = Body::Full(new.into());
                    for gone in ["content-encoding", "content-digest", "digest", "content-md5"] {
                        exchange.request.head.remove(gone);
                    }
                    Flow::Continue
                }
                Err((status, sentence)) => {
                    tracing::warn!(sentence, "a request's body can't be transformed");
                    Reply::message(status, &sentence).into()
                }
            }
        }
        .boxed_local()
    }

    fn head(&self, exchange: &mut Exchange) -> Flow {
        if self.answer.is_some() && has_body(exchange) {
            if exchange.answer.contains("content-encoding") {
                tracing::warn!(
                    "an answer is coded, and can't be transformed; take Accept-Encoding from the requests"
                );
                return Reply::new(502).into();
            }
            forget_old_body(&mut exchange.answer);
        }
        Flow::Continue
    }

    fn body(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        let side = Arc::clone(self.answer.as_ref()?);
        if !has_body(exchange) {
            return None;
        }
        let content_type = exchange.answer.get_str("content-type").map(str::to_owned);
        let format = side.format(content_type.as_deref());
        let query = exchange.request.query().unwrap_or_default().to_owned();
        let kept = Kept::of(exchange, &side, format);
        let change = move |body: Vec<u8>, _: &mut usher_http1::head::Head| {
            let rendered = side.render(format, Some(&body), content_type.as_deref(), &query, &kept);
            rendered.map(Bytes::from).map_err(|(_, sentence)| BodyError::Refused(sentence))
        };
        Some(Box::new(Held::new(self.max_answer_bytes, change)))
    }
}

/// Whether there is a body of the upstream's to be transformed. What the gateway itself answers stays as it is, so that a refusal can be read.
fn has_body(exchange: &Exchange) -> bool {
    exchange.answered_by == AnsweredBy::Upstream
        && !matches!(exchange.answer.status(), 100..=199 | 204 | 304)
        && exchange.request.method() != "HEAD"
}

/// The variables that a template asks for, as they were when the answer's head was there: its body outlives the look at the exchange.
struct Kept(HashMap<String, Vec<u8>>);

impl Kept {
    fn of(exchange: &Exchange, side: &Side, format: Option<Format>) -> Self {
        let names = side.template(format).map(Template::variables).unwrap_or_default();
        let found = |name: &String| Some((name.clone(), exchange.variable(name)?.into_owned()));
        Self(names.iter().filter_map(found).collect())
    }
}

impl Variables for Kept {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.0.get(name).map(|value| Cow::Borrowed(value.as_slice()))
    }
}

#[cfg(test)]
mod tests;
