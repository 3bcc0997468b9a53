//! A plugin that does what a test tells it to, in whichever phase.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use usher_http1::head::Head;
use usher_model::variables::Variables as _;
use usher_pipeline::body::{Body, BodyError, BodyOut, BodyRead, BodyStep};
use usher_pipeline::env::{Env, Target};
use usher_pipeline::exchange::{Choice, Exchange};
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::{Credential, Spec};
use usher_pipeline::stream::{Finished, OnConnections, Preread, Verdict};
use usher_pipeline::worker::Call;

/// All plugins of these tests.
pub(crate) fn specs() -> &'static [&'static Spec] {
    static SPECS: [&Spec; 4] = [
        &Spec::of::<Trial<1>>().on_connections::<Trial<1>>(),
        &Spec::of::<Trial<2>>(),
        &Spec::of::<Door>().auth::<DoorKey>().identity(&["x-badge"]),
        &Spec::of::<crate::calls::Caller>(),
    ];
    &SPECS
}

/// What a test wants of the plugin.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Added to the request as `X-Mark`.
    mark: Option<String>,
    /// Makes this the method in access.
    method: Option<String>,
    /// Answers in access.
    reply: Option<u16>,
    /// The body of that answer.
    body: Option<String>,
    /// That body comes in pieces.
    stream: bool,
    /// Reads the request's body of at most so many bytes in access, and says its length in `X-Read`.
    read: Option<u64>,
    /// Puts this in the place of the request's body.
    replace: Option<String>,
    /// Turns bodies into capitals: `request`, `answer`.
    shout: Vec<String>,
    /// Looks at the answer's body without changing it.
    watch: bool,
    /// Fields of the answer.
    fields: BTreeMap<String, String>,
    /// Answers in header_filter.
    late_reply: Option<u16>,
    /// Variables that are noted under this name when the request is logged.
    log: Option<String>,
    /// A URL that is called in access; status and body go to `X-Fetched`.
    fetch: Option<String>,
    /// Whether that server's certificate is verified.
    verify: bool,
    /// The time for that call.
    fetch_ms: Option<u64>,
    /// Panics in access.
    panic: bool,
    /// Chooses this upstream.
    upstream: Option<Value>,
    /// Chooses the upstream of this id.
    upstream_id: Option<String>,
    /// Counts its calls of before_proxy in `X-Tries`.
    tries: bool,
    /// On connections: reads ahead until so many bytes are there.
    ahead: usize,
}

/// The plugin; several, so that a route can carry more than one.
pub(crate) struct Trial<const N: u8> {
    config: Config,
    target: Option<Arc<dyn Target>>,
}

/// What `log` noted: the name, and what was seen.
pub(crate) static LOGGED: Mutex<Vec<(String, BTreeMap<&'static str, String>)>> = Mutex::new(Vec::new());

/// What was logged under this name.
pub(crate) fn logged(name: &str) -> Vec<BTreeMap<&'static str, String>> {
    let all = LOGGED.lock().unwrap();
    all.iter().filter(|(known, _)| known == name).map(|(_, seen)| seen.clone()).collect()
}

const NOTED: [&str; 16] = [
    "status",
    "uri",
    "request_uri",
    "upstream_status",
    "upstream_addr",
    "upstream_host",
    "upstream_scheme",
    "body_bytes_sent",
    "bytes_sent",
    "request_length",
    "remote_addr",
    "route_id",
    "consumer_name",
    "original_x_forwarded_for",
    "uri_param_id",
    "uri_param_rest",
];

impl<const N: u8> Plugin for Trial<N> {
    const NAME: &'static str = if N == 1 { "trial" } else { "trial-two" };
    const PRIORITY: i32 = 100 - N as i32;
    const PHASES: Phases<Self> = Phases {
        access: Some(Hook::Later(Self::access)),
        before_proxy: Some(Hook::Now(Self::before_proxy)),
        request_body: Some(|plugin, _| plugin.shouts("request")),
        header_filter: Some(Self::header_filter),
        body_filter: Some(|plugin, _| plugin.shouts("answer").or_else(|| plugin.watches())),
        log: Some(Self::log),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let target = config.upstream.as_ref().map(|value| env.target("trial", value)).transpose()?;
        Ok(Self { config, target })
    }
}

impl<const N: u8> Trial<N> {
    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let config = &self.config;
            if let Some(method) = &config.method {
                exchange.request.head.set_method(method).unwrap();
            }
            if let Some(mark) = &config.mark {
                exchange.request.head.append("X-Mark", mark).unwrap();
            }
            if let Some(limit) = config.read {
                let read = match exchange.request.body.read_whole(limit).await {
                    Ok(body) => body.len().to_string(),
                    Err(BodyError::TooLarge { .. }) => return Reply::new(413).into(),
                    Err(error) => return Reply::message(400, &error.to_string()).into(),
                };
                exchange.request.head.set("X-Read", read).unwrap();
            }
            if let Some(body) = &config.replace {
                exchange.request.body = Body::Full(body.clone().into());
            }
            if let Some(url) = &config.fetch {
                let fetched = self.call(exchange, url).await;
                exchange.request.head.set("X-Fetched", fetched).unwrap();
            }
            assert!(!config.panic, "told to");
            if let Some(target) = &self.target {
                exchange.choice = Some(Choice::Target(Arc::clone(target)));
            }
            if let Some(id) = &config.upstream_id {
                exchange.choice = Some(Choice::Id(id.as_str().into()));
            }
            match config.reply {
                None => Flow::Continue,
                Some(status) => self.reply(status).into(),
            }
        }
        .boxed_local()
    }

    async fn call(&self, exchange: &Exchange, url: &str) -> String {
        let call = Call {
            method: "GET".to_owned(),
            url: url.to_owned(),
            fields: Head::empty(),
            body: Bytes::new(),
            timeout: Duration::from_millis(self.config.fetch_ms.unwrap_or(10_000)),
            verify: self.config.verify,
            max_answer_bytes: 1000,
        };
        match exchange.worker().fetch(call).await {
            Ok(answer) => format!("{} {}", answer.head.status(), String::from_utf8_lossy(&answer.body)),
            Err(error) => error.to_string(),
        }
    }

    fn reply(&self, status: u16) -> Reply {
        let mut reply = Reply::new(status);
        if let Some(body) = &self.config.body {
            reply.body = if self.config.stream {
                let pieces: Vec<Bytes> = body.as_bytes().chunks(3).map(Bytes::copy_from_slice).collect();
                Body::Stream(Box::new(Pieces(pieces)))
            } else {
                Body::Full(body.clone().into())
            };
        }
        reply
    }

    fn before_proxy(&self, exchange: &mut Exchange) -> Flow {
        if self.config.tries {
            let tries: u32 =
                exchange.request.head.get_str("x-tries").and_then(|tries| tries.parse().ok()).unwrap_or(0);
            exchange.request.head.set("X-Tries", (tries + 1).to_string()).unwrap();
        }
        Flow::Continue
    }

    fn header_filter(&self, exchange: &mut Exchange) -> Flow {
        for (name, value) in &self.config.fields {
            exchange.answer.set(name, value).unwrap();
        }
        match self.config.late_reply {
            Some(status) => self.reply(status).into(),
            None => Flow::Continue,
        }
    }

    fn shouts(&self, what: &str) -> Option<Box<dyn BodyStep>> {
        self.config.shout.iter().any(|wanted| wanted == what).then(|| Box::new(Shout) as Box<dyn BodyStep>)
    }

    fn watches(&self) -> Option<Box<dyn BodyStep>> {
        self.config.watch.then(|| Box::new(Watch) as Box<dyn BodyStep>)
    }

    fn log(&self, exchange: &mut Exchange) {
        assert!(!self.config.panic, "told to, again");
        let Some(name) = &self.config.log else { return };
        let seen = NOTED.into_iter().filter_map(|name| {
            let value = exchange.variable(name)?;
            Some((name, String::from_utf8_lossy(&value).into_owned()))
        });
        LOGGED.lock().unwrap().push((name.clone(), seen.collect()));
    }
}

/// On connections `reply` closes, and `log` notes the same variables.
impl<const N: u8> OnConnections for Trial<N> {
    const PREREAD: Option<Preread<Self>> = Some(|plugin, session| match plugin.config.reply {
        _ if session.first.len() < plugin.config.ahead => Verdict::Read,
        Some(_) => Verdict::Close,
        None => Verdict::Continue,
    });
    const LOG: Option<Finished<Self>> = Some(|plugin, session| {
        let Some(name) = &plugin.config.log else { return };
        let noted = [
            "status",
            "route_id",
            "remote_addr",
            "protocol",
            "bytes_received",
            "bytes_sent",
            "upstream_addr",
        ];
        let seen = noted.into_iter().filter_map(|name| {
            let value = session.variable(name)?;
            Some((name, String::from_utf8_lossy(&value).into_owned()))
        });
        LOGGED.lock().unwrap().push((name.clone(), seen.collect()));
    });
}

struct Shout;

impl BodyStep for Shout {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        if bytes.windows(6).any(|six| six == b"refuse") {
            return Err(BodyError::Refused("told to".to_owned()));
        }
        out.push(bytes.to_ascii_uppercase().into());
        Ok(())
    }

    fn end(&mut self, _: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        out.push(Bytes::from_static(b"!"));
        Ok(())
    }
}

struct Watch;

impl BodyStep for Watch {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        out.push(bytes);
        Ok(())
    }

    fn end(&mut self, _: &mut Head, _: &mut BodyOut) -> Result<(), BodyError> {
        Ok(())
    }

    fn keeps_length(&self) -> bool {
        true
    }
}

struct Pieces(Vec<Bytes>);

impl BodyRead for Pieces {
    fn poll_read(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0))))
    }

    fn remaining(&self) -> Option<u64> {
        None
    }
}

/// Lets in whoever has a key in `X-Door`.
pub(crate) struct Door;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct DoorConfig {}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct DoorKey {
    key: String,
}

impl Credential for DoorKey {
    const UNIQUE: &'static str = "key";

    fn unique(&self) -> &str {
        &self.key
    }
}

impl Plugin for Door {
    const NAME: &'static str = "door";
    const PRIORITY: i32 = 2000;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::rewrite)), ..Phases::NONE };
    type Config = DoorConfig;

    fn build(_: DoorConfig, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
}

impl Door {
    fn rewrite(&self, exchange: &mut Exchange) -> Flow {
        let key = exchange.request.head.get("x-door").unwrap_or_default().to_vec();
        match exchange.find_credential("door", &key) {
            Some(found) => {
                exchange.attach(&found);
                Flow::Continue
            }
            None => Reply::message(401, "no key").with("WWW-Authenticate", "Door").into(),
        }
    }
}
