//! What must hold of any bytes that come first on a connection of MQTT: used by the fuzz target, and by a test that replays its corpus on the stable
//! compiler.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};
use usher_model::compat::Compat;
use usher_pipeline::env::{Env, Process, Target, Targets};
use usher_pipeline::registry::Registry;
use usher_pipeline::stream::{Progress, Session, StreamPipeline, Verdict};

/// Nodes of plugins lead nowhere here.
struct Nowhere;

#[derive(Debug)]
struct Anywhere;

impl Target for Anywhere {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Targets for Nowhere {
    fn target(&self, _: &str, _: &Value, _: Compat) -> Result<Arc<dyn Target>, String> {
        Ok(Arc::new(Anywhere))
    }
}

/// Plugins of a stream route.
///
/// # Errors
/// Why they can't be built.
pub fn on_connections(bodies: &Map<String, Value>) -> Result<StreamPipeline, String> {
    let registry = Registry::new(usher_plugins::all());
    let process = Process::new(Map::new(), Compat::NONE, Box::new(Nowhere));
    let env = Env::new(&process, &registry, "/apisix/stream_routes/1");
    StreamPipeline::compile(bodies, &env).map_err(|error| error.to_string())
}

/// The first byte is the version that is asked for, the others are what a client sends. A verdict is the same however the bytes come in, a refusal has
/// its reason, an identifier is among the bytes, and they are left as they came.
///
/// # Errors
/// What doesn't hold.
pub fn connect(data: &[u8]) -> Result<(), String> {
    let Some((level, bytes)) = data.split_first() else { return Ok(()) };
    let name = if *level == 3 { "MQIsdp" } else { "MQTT" };
    let body = json!({ "protocol_name": name, "protocol_level": level });
    let pipeline = on_connections(&Map::from_iter([("mqtt-proxy".to_owned(), body)]))?;
    let judge = |bytes: &[u8]| -> Result<(Verdict, Option<String>), String> {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1883));
        let mut session = Session::new("TCP", address, address, Instant::now());
        session.first.extend_from_slice(bytes);
        let verdict = pipeline.preread(&mut session, &mut Progress::default());
        if session.first[..] != *bytes {
            return Err(format!("{bytes:?} became {:?}", session.first));
        }
        if (verdict == Verdict::Close) != session.refused.is_some_and(|reason| !reason.is_empty()) {
            return Err(format!("{verdict:?} without its reason, or a reason without a refusal"));
        }
        let id = session.mqtt_client_id;
        if id.is_some() && verdict != Verdict::Continue {
            return Err(format!("{verdict:?} with the identifier {id:?}"));
        }
        if let Some(id) = &id
            && !bytes.windows(id.len().max(1)).any(|part| part == id.as_bytes())
        {
            return Err(format!("{id:?} is nowhere in {bytes:?}"));
        }
        Ok((verdict, id))
    };
    let whole = judge(bytes)?;
    // What is decided early is never decided otherwise later.
    for cut in (0..bytes.len()).take(600) {
        let early = judge(bytes.get(..cut).unwrap_or_default())?;
        if early.0 != Verdict::Read && early != whole {
            return Err(format!("{cut} bytes are {early:?}, all are {whole:?}"));
        }
    }
    Ok(())
}
