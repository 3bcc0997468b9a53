//! `usher explain`: which way a request would take, and why.

use std::net::IpAddr;

use clap::Args;
use serde_json::{Value, json};

use super::failure::{Code, Failure};
use super::output::{self, Format, clean};
use super::planned::texts;
use super::remote::Remote;
use crate::terminal::{Style, say};

/// Options of `usher explain`.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// A command line of curl in quotes; or a URL, with a method before it if it isn't GET
    #[arg(value_name = "REQUEST", required = true, num_args = 1..=2)]
    request: Vec<String>,
    /// A header of the request; may repeat
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The client's address [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// How it is shown
    #[arg(long, short = 'o', value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

impl Explain {
    /// Asks and shows.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        let mut request = json!({ "curl": self.command()? });
        if let (Some(address), Some(members)) = (self.client, request.as_object_mut()) {
            members.insert("client".to_owned(), address.to_string().into());
        }
        let found = client.post(&["explain"], &request).await?;
        match self.output {
            Format::Table => say(&told(&found, Style::detect())),
            other => output::print(&found, other),
        }
    }

    /// The request as a command line of curl, which Usher reads.
    fn command(&self) -> anyhow::Result<String> {
        let wrong = |what: &str| {
            Failure::new(Code::Usage, what.to_owned())
                .next("such as: usher explain GET example.com/path -H 'X-Version: 2'")
        };
        let mut command = match self.request.as_slice() {
            [one] if one.trim_start().starts_with("curl ") => one.clone(),
            [url] => format!("curl {}", quoted(url)),
            [method, url] if method == "curl" => format!("curl {}", quoted(url)),
            [method, url] if method.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                format!("curl -X {} {}", method.to_ascii_uppercase(), quoted(url))
            }
            _ => return Err(wrong("that is no request").into()),
        };
        for header in &self.headers {
            if !header.contains(':') {
                return Err(wrong(&format!("{header:?} is no header: it has no colon")).into());
            }
            command += &format!(" -H {}", quoted(header));
        }
        Ok(command)
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn told(found: &Value, style: Style) -> String {
    let at = |pointer: &str| clean(found.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
    let mut lines = vec![style.bold(&format!(
        "{} {}{}",
        at("/request/method"),
        at("/request/host"),
        at("/request/target")
    ))];
    match found.get("route").filter(|route| !route.is_null()) {
        Some(route) => lines.push(format!("  route {} takes it by {}", name(route), at("/route/uri"))),
        None => lines.push("  no route takes it".to_owned()),
    }
    for plugin in found.get("plugins").and_then(Value::as_array).into_iter().flatten() {
        let phases: Vec<&str> = texts(plugin, "phases").collect();
        let plugin = clean(plugin.get("name").and_then(Value::as_str).unwrap_or_default());
        lines.push(format!("  plugin {plugin} in {}", phases.join(", ")));
    }
    if let Some(upstream) = found.get("upstream").filter(|upstream| !upstream.is_null()) {
        lines.push(match upstream.get("id").and_then(Value::as_str) {
            Some(id) => format!("  upstream {}", clean(id)),
            None => "  upstream written in place".to_owned(),
        });
        let next = upstream.get("next").and_then(Value::as_str);
        for node in upstream.get("nodes").and_then(Value::as_array).into_iter().flatten() {
            let address = node.get("address").and_then(Value::as_str).unwrap_or_default();
            let weight = node.get("weight").and_then(Value::as_u64).unwrap_or_default();
            let turn = if next == Some(address) { "  <- its turn" } else { "" };
            lines.push(format!("    {}  weight {weight}{turn}", clean(address)));
        }
    }
    let answer = at("/answer");
    if !answer.is_empty() {
        lines.push(format!("  the gateway answers {answer}"));
    }
    for passed in found.get("passed_over").and_then(Value::as_array).into_iter().flatten() {
        let route = passed.get("route").map(name).unwrap_or_default();
        let because = clean(passed.get("because").and_then(Value::as_str).unwrap_or_default());
        lines.push(format!("  not {route}: {because}"));
    }
    lines.extend(texts(found, "notes").map(|note| style.dim(&format!("  note: {}", clean(note)))));
    lines.join("\n")
}

/// A route as people call it.
fn name(route: &Value) -> String {
    let part = |name: &str| clean(route.get(name).and_then(Value::as_str).unwrap_or_default());
    match part("name").as_str() {
        "" => part("id"),
        name => format!("{} ({name})", part("id")),
    }
}
