//! What a line says: APISIX's usual members, or those that the user asked for.
//!
//! Values come from clients. They are cut at 8 KiB, and nothing in them can end the line or look like another one to whoever reads it. Credentials
//! that clients send are not part of the usual members; who wants them names their variable.

use serde_json::{Map, Value, json};
use usher_http1::head::Head;
use usher_model::template::Template;
use usher_model::variables::Variables;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::machine;
use usher_pipeline::plugin::BuildError;
use usher_pipeline::stream::Session;

use super::bodies::Taken;
use super::settings::{Content, Metadata};

/// The longest value, in bytes; bodies have bounds of their own.
const LONGEST: usize = 8 << 10;
/// How deep objects of a format may be nested.
const DEEPEST: usize = 5;
/// Members that the arguments of a query make at most.
const MOST_ARGUMENTS: usize = 256;

/// What a line says.
pub(super) enum Format {
    Usual { extra: Vec<(String, Node)> },
    Own(Vec<(String, Node)>),
}

/// A member of a format.
pub(super) enum Node {
    Fixed(Value),
    /// One variable and nothing else: a number where it is one, and no member where it is absent.
    Variable(String),
    Text(Template),
    Members(Vec<(String, Node)>),
}

impl Format {
    /// # Errors
    /// A format that is nested too deep.
    pub(super) fn new(content: &Content, metadata: &Metadata) -> Result<Self, BuildError> {
        let own = content.log_format.as_ref().filter(|format| !format.is_empty());
        if let Some(format) = own.or(Some(&metadata.log_format).filter(|format| !format.is_empty())) {
            return Ok(Self::Own(members("log_format", format, DEEPEST)?));
        }
        let extra = content.log_format_extra.as_ref().filter(|format| !format.is_empty());
        let extra = extra.unwrap_or(&metadata.log_format_extra);
        Ok(Self::Usual { extra: members("log_format_extra", extra, DEEPEST)? })
    }

    /// The line of an exchange.
    pub(super) fn write(&self, exchange: &Exchange, bodies: &Taken) -> String {
        let mut line = match self {
            Self::Usual { .. } => usual(exchange, bodies),
            Self::Own(_) => Map::new(),
        };
        let variables = WithBodies { exchange, bodies };
        let (Self::Usual { extra: members } | Self::Own(members)) = self;
        fill(&mut line, members, &variables);
        for name in ["llm_summary", "llm_request", "llm_response_text"] {
            // Set by the plugins for models where their `logging` asks for it, with their own bounds.
            let told = exchange.variable(name).and_then(|told| serde_json::from_slice(&told).ok());
            if let Some(told) = told {
                line.insert(name.to_owned(), told);
            }
        }
        if matches!(self, Self::Own(_)) {
            let route = exchange.route.as_ref();
            line.insert("route_id".to_owned(), route.map_or(NO_ROUTE, |route| &*route.id).into());
            if let Some(route) = route.filter(|route| !route.service_id.is_empty()) {
                line.insert("service_id".to_owned(), Value::from(&*route.service_id));
            }
        }
        one_line(&Value::Object(line))
    }
}

impl Format {
    /// The line of a connection of a stream route, which ended at this time.
    pub(super) fn write_connection(&self, session: &Session, now_ms: u64) -> String {
        let mut line = match self {
            Self::Usual { .. } => of_connection(session, now_ms),
            Self::Own(_) => Map::new(),
        };
        let (Self::Usual { extra: members } | Self::Own(members)) = self;
        fill(&mut line, members, session);
        line.insert("route_id".to_owned(), Value::from(&*session.route));
        one_line(&Value::Object(line))
    }
}

/// What stands for the route of a request that met none (apisix/utils/log-util.lua).
const NO_ROUTE: &str = "no-matched";

fn of_connection(session: &Session, now_ms: u64) -> Map<String, Value> {
    let lasted = u64::try_from(session.lasted.as_millis()).unwrap_or(u64::MAX);
    let line = json!({
        "client_ip": session.client.ip().to_canonical().to_string(),
        "client_port": session.client.port(),
        "server_addr": session.server.ip().to_canonical().to_string(),
        "server_port": session.server.port(),
        "protocol": session.protocol,
        "status": session.status,
        "upstream": session.upstream.map_or_else(String::new, |address| address.to_string()),
        "bytes_received": session.received,
        "bytes_sent": session.sent,
        "start_time": now_ms.saturating_sub(lasted),
        "latency": session.lasted.as_micros() as f64 / 1000.0,
        "server": { "hostname": machine::name(), "version": env!("CARGO_PKG_VERSION") },
    });
    match line {
        Value::Object(line) => line,
        _ => Map::new(),
    }
}

fn members(place: &str, format: &Map<String, Value>, left: usize) -> Result<Vec<(String, Node)>, BuildError> {
    let node = |(name, value): (&String, &Value)| {
        let node = match value {
            Value::String(text) if text.contains('$') => {
                let template = Template::parse(text);
                match template.as_variable() {
                    Some(name) => Node::Variable(name.to_owned()),
                    None => Node::Text(template),
                }
            }
            Value::Object(_) if left == 0 => {
                return Err(BuildError::new(format!("{place} is nested more than {DEEPEST} deep")));
            }
            Value::Object(below) => Node::Members(members(place, below, left - 1)?),
            fixed => Node::Fixed(fixed.clone()),
        };
        Ok((name.clone(), node))
    };
    format.iter().map(node).collect()
}

fn fill(line: &mut Map<String, Value>, members: &[(String, Node)], variables: &dyn Variables) {
    for (name, node) in members {
        if let Some(value) = node.value(variables) {
            line.insert(name.clone(), value);
        }
    }
}

impl Node {
    fn value(&self, variables: &dyn Variables) -> Option<Value> {
        Some(match self {
            Self::Fixed(value) => value.clone(),
            Self::Variable(name) => {
                let value = variables.variable(name)?;
                let text = String::from_utf8_lossy(&value);
                let number = NUMBERS.contains(&name.as_str()).then(|| serde_json::from_str(&text).ok());
                number.flatten().map_or_else(|| text.into_owned().into(), Value::Number)
            }
            Self::Text(template) => {
                let mut text = Vec::new();
                template.render_into(variables, &mut text);
                // Bodies in a text were cut where they were taken.
                String::from_utf8_lossy(&text).into_owned().into()
            }
            Self::Members(members) => {
                let mut object = Map::new();
                fill(&mut object, members, variables);
                Value::Object(object)
            }
        })
    }
}

/// Variables that are numbers in a line, as in APISIX; all others are texts, whatever they look like.
const NUMBERS: [&str; 12] = [
    "status",
    "request_time",
    "upstream_connect_time",
    "upstream_header_time",
    "upstream_response_time",
    "request_length",
    "bytes_sent",
    "balancer_port",
    "llm_prompt_tokens",
    "llm_completion_tokens",
    "llm_total_tokens",
    "llm_time_to_first_token",
];

/// Answers the bodies beside everything else, and cuts what is too long.
struct WithBodies<'a> {
    exchange: &'a Exchange,
    bodies: &'a Taken,
}

impl Variables for WithBodies<'_> {
    fn variable(&self, name: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
        let body = match name {
            "request_body" => self.bodies.request.as_deref(),
            "resp_body" | "response_body" => self.bodies.answer.as_deref(),
            _ => {
                let mut value = self.exchange.variable(name)?;
                if value.len() > LONGEST {
                    value = value.get(..LONGEST).unwrap_or_default().to_vec().into();
                }
                return Some(value);
            }
        };
        body.map(std::borrow::Cow::Borrowed)
    }
}

/// When a request began, in milliseconds since 1970.
pub(super) fn started_ms(exchange: &Exchange) -> u64 {
    let worker = exchange.worker();
    let took = worker.now().saturating_duration_since(exchange.times.start).as_millis();
    worker.unix_ms().saturating_sub(u64::try_from(took).unwrap_or(0))
}

fn usual(exchange: &Exchange, bodies: &Taken) -> Map<String, Value> {
    let (request, times, now) = (&exchange.request, &exchange.times, exchange.worker().now());
    let uri = match request.original_query() {
        Some(query) => format!("{}?{query}", request.original_path()),
        None => request.original_path().to_owned(),
    };
    let ms = |time: std::time::Duration| Value::from(time.as_micros() as f64 / 1000.0);
    let whole = now.saturating_duration_since(times.start);
    let upstream = times.upstream_start.map(|start| {
        let end = times.upstream_end.unwrap_or(now);
        end.saturating_duration_since(start).min(whole)
    });
    let route = exchange.route.as_deref();
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
    let mut asked = json!({
        "url": cut(&format!("{}://{}:{}{uri}", request.scheme(), request.host(), exchange.server.port())),
        "uri": cut(&uri),
        "method": request.method(),
        "headers": fields(&request.head),
        "querystring": arguments(request.original_query()),
        "size": times.received_bytes,
    });
    let mut answered = json!({
        "status": exchange.answer.status(),
        "headers": fields(&exchange.answer),
        "size": times.sent_bytes,
    });
    for (part, body) in [(&mut asked, &bodies.request), (&mut answered, &bodies.answer)] {
        if let (Some(members), Some(body)) = (part.as_object_mut(), body) {
            members.insert("body".to_owned(), String::from_utf8_lossy(body).into_owned().into());
        }
    }
    put("request", asked);
    put("response", answered);
    put("server", json!({ "hostname": machine::name(), "version": env!("CARGO_PKG_VERSION") }));
    put("upstream", exchange.upstream.addresses().unwrap_or_default().into());
    put("service_id", route.map_or("", |route| &*route.service_id).into());
    put("route_id", route.map_or(NO_ROUTE, |route| &*route.id).into());
    if let Some(consumer) = exchange.consumer() {
        put("consumer", json!({ "username": &*consumer.name }));
    }
    put("client_ip", exchange.client.ip().to_canonical().to_string().into());
    put("start_time", started_ms(exchange).into());
    put("latency", ms(whole));
    if let Some(upstream) = upstream {
        put("upstream_latency", ms(upstream));
    }
    put("apisix_latency", ms(whole.saturating_sub(upstream.unwrap_or_default())));
    line
}

/// The request as it came, as one text: start line, fields, and the body where that is logged. Credentials are hidden here too.
pub(super) fn request(exchange: &Exchange, bodies: &Taken) -> String {
    let request = &exchange.request;
    let mut text = String::new();
    let uri = match request.original_query() {
        Some(query) => format!("{}?{query}", request.original_path()),
        None => request.original_path().to_owned(),
    };
    text.push_str(&format!("{} {} HTTP/1.1\r\n", request.method(), shortened(uri.as_bytes())));
    for (name, value) in request.head.iter() {
        let hidden = CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known));
        let value = if hidden { "***".to_owned() } else { shortened(value) };
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    if let Some(body) = &bodies.request {
        text.push_str(&String::from_utf8_lossy(body));
    }
    one_line(&Value::from(text))
}

/// Fields whose values let whoever reads them act as the client.
const CREDENTIALS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "apikey",
    "x-api-key",
    "x-auth-token",
    "x-access-token",
];

/// Fields by their names in lower case; one that comes several times is a list.
fn fields(head: &Head) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for (name, value) in head.iter() {
        let name = name.to_ascii_lowercase();
        let value = if CREDENTIALS.contains(&name.as_str()) { "***".into() } else { cut_bytes(value) };
        add(&mut all, name, value);
    }
    Value::Object(all)
}

fn arguments(query: Option<&str>) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).take(MOST_ARGUMENTS) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, cut(&decoded(value))),
            None => (pair, Value::Bool(true)),
        };
        let name: String = decoded(name).chars().take(LONGEST / 4).collect();
        add(&mut all, name, value);
    }
    Value::Object(all)
}

fn add(all: &mut Map<String, Value>, name: String, value: Value) {
    match all.get_mut(&name) {
        None => drop(all.insert(name, value)),
        Some(Value::Array(list)) => list.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
}

/// Undoes `%XX` and `+`.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digit = |at: usize| bytes.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        at += 1;
        match (byte, digit(at), digit(at + 1)) {
            (b'+', ..) => out.push(b' '),
            (b'%', Some(high), Some(low)) => {
                // Two digits are below 256.
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            _ => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn cut(text: &str) -> Value {
    cut_bytes(text.as_bytes())
}

fn cut_bytes(bytes: &[u8]) -> Value {
    shortened(bytes).into()
}

fn shortened(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..LONGEST).unwrap_or(bytes)).into_owned()
}

/// JSON in which no character ends a line, for readers that know more line ends than JSON does.
fn one_line(value: &Value) -> String {
    let text = value.to_string();
    let is_odd = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}');
    if !text.contains(is_odd) {
        return text;
    }
    text.chars().fold(String::with_capacity(text.len() + 16), |mut out, c| {
        if is_odd(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
        out
    })
}
