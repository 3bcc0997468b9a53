//! What must hold of any body of any plugin: it is refused with a sentence, or it is built, the same way each time. Used by the fuzz target, and by
//! a test that replays its corpus on the stable compiler.

use std::any::Any;

use serde_json::{Map, Value};
use usher_model::compat::Compat;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::env::{Env, Process, Target, Targets};
use usher_pipeline::registry::Registry;

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
    fn target(&self, _: &str, _: &Value, _: Compat) -> Result<std::sync::Arc<dyn Target>, String> {
        Ok(std::sync::Arc::new(Anywhere))
    }
}

/// The name of a plugin, and its body in JSON on the next line.
///
/// # Errors
/// What doesn't hold.
pub fn body(data: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(data) else { return Ok(()) };
    let Some((name, body)) = text.split_once('\n') else { return Ok(()) };
    let Ok(body) = serde_json::from_str::<Value>(body) else { return Ok(()) };
    let registry = Registry::new(usher_plugins::all());
    let process = Process::new(Map::new(), Compat::NONE, Box::new(Nowhere));
    let env = Env::new(&process, &registry, "/apisix/routes/1");
    let mut bodies = Map::new();
    bodies.insert(name.to_owned(), body.clone());
    let checked = registry.check(name, &body, &env);
    let built = Pipeline::compile(&bodies, &env);
    if let Err(error) = &checked
        && error.message.is_empty()
    {
        return Err("it is refused without a word".to_owned());
    }
    if checked.is_ok() && built.is_err() {
        return Err(format!(
            "it is good, and can't be built: {}",
            built.err().map_or_else(String::new, |error| error.to_string())
        ));
    }
    if registry.check(name, &body, &env).is_ok() != checked.is_ok() {
        return Err("it is checked otherwise the second time".to_owned());
    }
    Ok(())
}
