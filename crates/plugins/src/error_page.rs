//! `error-page` puts pages of one's own in the place of the gateway's, for answers that the gateway makes itself.
//!
//! What the pages look like is in the plugin's metadata, the same for every use; an upstream's answers stay as they are.
//!
//! Example: `{}`

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_http1::head::Head;
use usher_http1::reject;
use usher_model::compat::Behaviour;
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::{AnsweredBy, Exchange};
use usher_pipeline::plugin::{BuildError, Flow, Phases, Plugin};
use usher_pipeline::spec::Spec;

/// `error-page`.
pub(crate) static PLUGIN: Spec = Spec::of::<ErrorPage>().metadata::<Metadata>();

/// Puts pages of one's own in the place of the gateway's. Everything about them is in the plugin's metadata.
#[derive(Deserialize, JsonSchema)]
struct Config {}

/// What all uses of the plugin share.
#[derive(Default, Deserialize, JsonSchema)]
struct Metadata {
    /// Whether the pages are sent at all.
    #[serde(default)]
    enable: bool,
    /// The page for requests that no route takes.
    error_404: Option<Page>,
    /// The page for failures of the gateway itself.
    error_500: Option<Page>,
    /// The page for upstreams that break off.
    error_502: Option<Page>,
    /// The page for upstreams that are away.
    error_503: Option<Page>,
}

/// One page.
#[derive(Deserialize, JsonSchema)]
struct Page {
    /// What is sent: a page of HTML that says the status, where it isn't written. With an empty text, the answer stays as it is.
    body: Option<String>,
    /// What it is.
    #[serde(default = "html")]
    content_type: String,
}

fn html() -> String {
    "text/html".to_owned()
}

struct ErrorPage {
    pages: Vec<(u16, Bytes, String)>,
}

impl Plugin for ErrorPage {
    const NAME: &'static str = "error-page";
    const PRIORITY: i32 = 450;
    const PHASES: Phases<Self> =
        Phases { header_filter: Some(Self::label), body_filter: Some(Self::replace), ..Phases::NONE };
    type Config = Config;

    fn build(_: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let metadata = env.metadata::<Metadata>()?.unwrap_or_default();
        let pages = [
            (404, metadata.error_404),
            (500, metadata.error_500),
            (502, metadata.error_502),
            (503, metadata.error_503),
        ];
        let by_apisix = env.process().compat().has(Behaviour::ApisixNames);
        let product = if by_apisix { "openresty" } else { "usher" };
        let mut made = Vec::new();
        for (status, page) in pages.into_iter().filter(|_| metadata.enable) {
            let Some(page) = page.filter(|page| page.body.as_deref() != Some("")) else { continue };
            Head::empty().set("Content-Type", &page.content_type).map_err(|_| {
                BuildError::new(format!(
                    "its metadata (plugin_metadata/error-page) can't be used: the content_type of error_{status} can't be sent"
                ))
            })?;
            let body = page.body.unwrap_or_else(|| reject::page(status, product));
            made.push((status, body.into(), page.content_type));
        }
        Ok(Self { pages: made })
    }
}

impl ErrorPage {
    fn page(&self, exchange: &Exchange) -> Option<&(u16, Bytes, String)> {
        if exchange.answered_by != AnsweredBy::Gateway {
            return None;
        }
        self.pages.iter().find(|(status, ..)| *status == exchange.answer.status())
    }

    fn label(&self, exchange: &mut Exchange) -> Flow {
        if let Some((.., kind)) = self.page(exchange) {
            let kind = kind.clone();
            let answer = &mut exchange.answer;
            for gone in ["content-length", "content-encoding", "etag", "last-modified"] {
                answer.remove(gone);
            }
            if let Err(error) = answer.set("Content-Type", kind) {
                tracing::debug!(%error, "left out a field of an answer");
            }
        }
        Flow::Continue
    }

    fn replace(&self, exchange: &mut Exchange) -> Option<Box<dyn BodyStep>> {
        let (_, body, _) = self.page(exchange)?;
        Some(Box::new(Instead(body.clone())))
    }
}

/// Sends this body instead of what was there.
struct Instead(Bytes);

impl BodyStep for Instead {
    fn chunk(&mut self, _: Bytes, _: &mut BodyOut) -> Result<(), BodyError> {
        Ok(())
    }

    fn end(&mut self, trailers: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        trailers.clear();
        out.push(std::mem::take(&mut self.0));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use serde_json::{Map, Value, json};
    use usher_http1::head::Head;
    use usher_model::compat::Compat;
    use usher_pipeline::body::BodySteps;
    use usher_pipeline::compile::Pipeline;
    use usher_pipeline::consumer::Nobody;
    use usher_pipeline::env::{Env, Metadata, Process, Target, Targets};
    use usher_pipeline::exchange::{AnsweredBy, Exchange};
    use usher_pipeline::harness::BenchWorker;
    use usher_pipeline::plugin::BuildError;
    use usher_pipeline::registry::Registry;
    use usher_pipeline::worker::Worker;

    use super::PLUGIN;

    struct NoTargets;

    impl Targets for NoTargets {
        fn target(&self, _: &str, _: &Value, _: Compat) -> Result<Arc<dyn Target>, String> {
            Err("there are none here".into())
        }
    }

    fn compile(value: Value) -> Result<Pipeline, BuildError> {
        let process = Process::new(Map::new(), Compat::NONE, Box::new(NoTargets));
        let registry = Registry::new(&[&PLUGIN]);
        let mut metadata = Metadata::default();
        metadata.set("error-page", Some(value));
        let env = Env::new(&process, &registry, "/apisix/global_rules/1").with_metadata(&metadata);
        Pipeline::compile(&Map::from_iter([("error-page".to_owned(), json!({}))]), &env)
    }

    /// Type and body of an answer that said `as it was`.
    fn answered(pipeline: &Pipeline, status: u16, by: AnsweredBy) -> (String, String) {
        let worker = Rc::new(BenchWorker::default());
        assert!(worker.sleep(Duration::ZERO).now_or_never().is_some());
        let mut exchange = Exchange::new(worker, Rc::new(Nobody));
        exchange.answer = Head::response(status);
        exchange.answer.set("Content-Type", "text/plain").unwrap();
        exchange.answered_by = by;
        let _ = pipeline.header_filter(&mut exchange);
        let mut steps = BodySteps::default();
        pipeline.body_filter(&mut exchange, &mut steps);
        let mut body = steps.chunk("as it was".into()).unwrap();
        body.extend(steps.end(&mut Head::empty()).unwrap());
        (
            exchange.answer.get_str("Content-Type").unwrap().to_owned(),
            String::from_utf8(body.concat()).unwrap(),
        )
    }

    #[test]
    fn the_gateways_own_errors_get_the_pages() {
        let pages = json!({ "enable": true, "error_404": { "body": "nothing here" }, "error_503": { "body": "{}", "content_type": "application/json" }, "error_500": { "body": "" }, "error_502": {} });
        let pipeline = compile(pages.clone()).unwrap();
        let kept = ("text/plain", "as it was");
        let usual = usher_http1::reject::page(502, "usher");
        for (status, by, wanted) in [
            (404, AnsweredBy::Gateway, ("text/html", "nothing here")),
            (503, AnsweredBy::Gateway, ("application/json", "{}")),
            (502, AnsweredBy::Gateway, ("text/html", usual.as_str())),
            (404, AnsweredBy::Upstream, kept),
            (500, AnsweredBy::Gateway, kept),
            (200, AnsweredBy::Gateway, kept),
        ] {
            let (kind, body) = answered(&pipeline, status, by);
            assert_eq!((kind.as_str(), body.as_str()), wanted, "{status} {by:?}");
        }
        let mut off = pages;
        off["enable"] = false.into();
        let (_, body) = answered(&compile(off).unwrap(), 404, AnsweredBy::Gateway);
        assert_eq!(body, "as it was");
        let bad = json!({ "enable": true, "error_404": { "body": "x", "content_type": "a\nb" } });
        assert!(compile(bad).err().unwrap().message.contains("error_404"));
    }
}
