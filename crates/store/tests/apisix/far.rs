//! A far side that answers as an APISIX's Admin API does, and misbehaves when told to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What it does to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Does it.
    Good,
    /// Refuses every write from the n-th on.
    Refuses(usize),
    /// Does it, and hangs up before the answer.
    HangsUp,
    /// Does the first n writes; with the next one the line breaks before it is done, and stays so.
    Silent(usize),
}

/// An object with its `createdIndex` and `modifiedIndex`.
type Held = (Value, u64, u64);

#[derive(Debug)]
struct State {
    objects: BTreeMap<String, Held>,
    index: u64,
    mood: Mood,
    writes: Vec<(String, String, Value)>,
}

/// The far side.
#[derive(Clone)]
pub(crate) struct Far {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Far {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State { objects: BTreeMap::new(), index: 10, mood: Mood::Good, writes: Vec::new() };
        let far = Self { address: listener.local_addr().unwrap(), state: Arc::new(Mutex::new(state)) };
        let served = far.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let far = served.clone();
                std::thread::spawn(move || far.serve(stream));
            }
        });
        far
    }

    /// Writes as somebody else would: `path` such as `routes/1`.
    pub(crate) fn put(&self, path: &str, mut value: Value) {
        let mut state = self.state.lock().unwrap();
        state.index += 1;
        let index = state.index;
        value["update_time"] = index.into();
        let created = state.objects.get(path).map_or(index, |held| held.1);
        state.objects.insert(path.to_owned(), (value, created, index));
    }

    /// Deletes all of these at once.
    pub(crate) fn remove(&self, paths: &[String]) {
        let mut state = self.state.lock().unwrap();
        state.index += 1;
        state.objects.retain(|path, _| !paths.contains(path));
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(path).map(|held| held.0.clone())
    }

    pub(crate) fn be(&self, mood: Mood) {
        let mut state = self.state.lock().unwrap();
        state.mood = mood;
        state.writes.clear();
    }

    /// The writes since the last change of mood: method, path, body.
    pub(crate) fn writes(&self) -> Vec<(String, String, Value)> {
        self.state.lock().unwrap().writes.clone()
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while let Some((method, target, key, body)) = read(&mut reader) {
            let (status, answer) = if key != "far-key" {
                (401, json!({ "error_msg": "failed to check token", "description": "wrong apikey" }))
            } else {
                self.answer(&method, &target, &body)
            };
            if status == 0 {
                return;
            }
            let text = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(text.as_bytes())).is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, target: &str, body: &[u8]) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.strip_prefix("/apisix/admin/").unwrap();
        let mut state = self.state.lock().unwrap();
        let gone = (404, json!({ "message": "Key not found" }));
        let is_broken = |state: &State| matches!(state.mood, Mood::Silent(most) if state.writes.len() > most);
        if is_broken(&state) {
            return (0, Value::Null);
        }
        if method == "GET" {
            return match path.split('/').collect::<Vec<_>>().as_slice() {
                ["schema", _] => (400, json!({ "error_msg": "not found schema" })),
                ["stream_routes"] => {
                    (400, json!({ "error_msg": "stream mode is disabled, can not add stream routes" }))
                }
                [_] | [_, _, "credentials"] => list(&state, path, query),
                _ => state.objects.get(path).map_or(gone, |held| (200, shown(path, held))),
            };
        }
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let number = state.writes.len();
        state.writes.push((method.to_owned(), path.to_owned(), value.clone()));
        if is_broken(&state) {
            return (0, Value::Null);
        }
        if matches!(state.mood, Mood::Refuses(from) if number >= from) {
            return (400, json!({ "error_msg": "unknown plugin [x]" }));
        }
        state.index += 1;
        let index = state.index;
        let before = state.objects.get(path).cloned();
        let status = match method {
            "DELETE" => {
                if state.objects.remove(path).is_none() {
                    return gone;
                }
                200
            }
            "PATCH" => {
                let Some((mut held, created, _)) = before else { return gone };
                for (name, member) in value.as_object().unwrap() {
                    held[name] = member.clone();
                }
                state.objects.insert(path.to_owned(), (held, created, index));
                200
            }
            _ => {
                assert!(value.get("create_time").is_none() && value.get("update_time").is_none(), "{value}");
                let created = before.map_or(index, |held| held.1);
                let mut value = value;
                value["create_time"] = created.into();
                value["update_time"] = index.into();
                state.objects.insert(path.to_owned(), (value, created, index));
                201
            }
        };
        if state.mood == Mood::HangsUp { (0, Value::Null) } else { (status, json!({ "key": path })) }
    }
}

/// APISIX never shows a certificate's key.
fn shown(path: &str, held: &Held) -> Value {
    let mut value = held.0.clone();
    if path.starts_with("ssls/") {
        value.as_object_mut().unwrap().remove("key");
    }
    json!({ "key": format!("/apisix/{path}"), "value": value, "createdIndex": held.1, "modifiedIndex": held.2 })
}

fn list(state: &State, path: &str, query: &str) -> (u16, Value) {
    let number =
        |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.parse::<usize>().ok());
    let (page, size) = (number("page=").unwrap(), number("page_size=").unwrap());
    assert!((10..=500).contains(&size));
    let below = format!("{path}/");
    let inner = |rest: &str| !rest.contains('/');
    let mut all: Vec<_> =
        state.objects.iter().filter(|(key, _)| key.strip_prefix(&below).is_some_and(inner)).collect();
    all.sort_by_key(|(_, held)| held.1);
    let total = all.len();
    let items: Vec<Value> =
        all.into_iter().skip((page - 1) * size).take(size).map(|(key, held)| shown(key, held)).collect();
    if path.ends_with("/credentials") && total == 0 {
        return (404, json!({ "message": "Key not found" }));
    }
    // An empty list is an object there.
    let items = if items.is_empty() { json!({}) } else { Value::Array(items) };
    (200, json!({ "total": total, "list": items }))
}

/// Method, target, key and body of one request.
fn read(reader: &mut BufReader<TcpStream>) -> Option<(String, String, String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = field.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "x-api-key" => value.trim().clone_into(&mut key),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, target, key, body))
}
