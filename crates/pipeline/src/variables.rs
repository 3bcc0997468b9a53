//! The variables that a request answers, by APISIX's names (data plane contract, section 11).

use std::borrow::Cow;

use usher_model::variables::{Variables, is_of_body};

use crate::exchange::Exchange;

pub(crate) mod body;
mod graphql;
mod json_path;

type Text<'a> = Option<Cow<'a, [u8]>>;

impl Variables for Exchange {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        if let Some(found) = self.of_request(name).or_else(|| self.of_answer(name)) {
            return Some(found);
        }
        if name.starts_with("ssl_") {
            return self.secured.as_ref()?.variable(name).map(|text| text.into_bytes().into());
        }
        if let Some(header) = name.strip_prefix("http_") {
            return self.header(header);
        }
        if let Some(argument) = name.strip_prefix("arg_") {
            return self.request.argument(argument).map(|value| match value {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            });
        }
        if let Some(cookie) = name.strip_prefix("cookie_") {
            return self.request.cookie(cookie).map(|value| value.as_bytes().into());
        }
        if let Some(field) = name.strip_prefix("sent_http_") {
            return field_named(&self.answer, field);
        }
        if is_of_body(name) {
            return self.body_variables().variable(name);
        }
        self.set_variables()
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| Cow::Borrowed(value.as_bytes()))
    }

    fn list(&self, name: &str) -> Option<Vec<Cow<'_, [u8]>>> {
        if is_of_body(name) { self.body_variables().list(name) } else { None }
    }
}

impl Exchange {
    fn of_request(&self, name: &str) -> Text<'_> {
        let request = &self.request;
        Some(match name {
            "uri" | "document_uri" => request.path().as_bytes().into(),
            "request_uri" => with_query(request.original_path(), request.original_query()),
            "real_request_uri" => request.head.target().as_bytes().into(),
            "args" | "query_string" => request.query()?.as_bytes().into(),
            "is_args" => if request.query().is_some() { "?" } else { "" }.as_bytes().into(),
            "method" | "request_method" => request.method().as_bytes().into(),
            "scheme" => request.scheme().as_bytes().into(),
            "https" => if request.tls { "on" } else { "" }.as_bytes().into(),
            "host" | "hostname" | "server_name" => request.host().as_bytes().into(),
            "remote_addr" => self.client.ip().to_canonical().to_string().into_bytes().into(),
            "remote_port" => self.client.port().to_string().into_bytes().into(),
            "server_port" => self.server_port.to_string().into_bytes().into(),
            "content_type" => request.head.get("content-type")?.into(),
            "content_length" => request.head.get("content-length")?.into(),
            "server_protocol" => match request.head.version() {
                usher_http1::head::Version::Http10 => "HTTP/1.0",
                usher_http1::head::Version::Http11 => "HTTP/1.1",
                usher_http1::head::Version::Http2 => "HTTP/2.0",
            }
            .as_bytes()
            .into(),
            "request" => format!(
                "{} {} {}",
                request.method(),
                request.head.target(),
                match request.head.version() {
                    usher_http1::head::Version::Http10 => "HTTP/1.0",
                    usher_http1::head::Version::Http11 => "HTTP/1.1",
                    usher_http1::head::Version::Http2 => "HTTP/2.0",
                }
            )
            .into_bytes()
            .into(),
            "consumer_name" => self.consumer()?.name.as_bytes().into(),
            "consumer_group_id" => self.consumer()?.group_id.as_ref()?.as_bytes().into(),
            "route_id" => self.route.as_ref()?.id.as_bytes().into(),
            "route_name" => self.route.as_ref()?.name.as_bytes().into(),
            "service_id" => self.route.as_ref()?.service_id.as_bytes().into(),
            "service_name" => self.route.as_ref()?.service_name.as_bytes().into(),
            // Plugins for models say another.
            "request_type" => {
                let mut all = self.set_variables().iter();
                let said = all.find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes());
                said.unwrap_or(b"traditional_http").into()
            }
            "realip_remote_addr" => self.peer.ip().to_canonical().to_string().into_bytes().into(),
            "realip_remote_port" => self.peer.port().to_string().into_bytes().into(),
            "binary_remote_addr" => match self.client.ip().to_canonical() {
                std::net::IpAddr::V4(ip) => ip.octets().to_vec().into(),
                std::net::IpAddr::V6(ip) => ip.octets().to_vec().into(),
            },
            "remote_user" => crate::basic::user(request.head.get_str("authorization")?)?.into_bytes().into(),
            "nginx_version" | "usher_version" => env!("CARGO_PKG_VERSION").as_bytes().into(),
            "pid" => std::process::id().to_string().into_bytes().into(),
            "msec" => {
                let ms = self.worker().unix_ms();
                format!("{}.{:03}", ms / 1000, ms % 1000).into_bytes().into()
            }
            "cause" => self.cause?.what.name().as_bytes().into(),
            "failed_by" => self.cause?.what.who().name().as_bytes().into(),
            "retry_safe" => if self.cause?.retry_safe { "true" } else { "false" }.as_bytes().into(),
            _ => return None,
        })
    }

    fn of_answer(&self, name: &str) -> Text<'_> {
        let upstream = &self.upstream;
        Some(match name {
            "status" => self.answer.status().to_string().into_bytes().into(),
            "bytes_sent" => self.times.sent_bytes.to_string().into_bytes().into(),
            "body_bytes_sent" => self.times.body_bytes.to_string().into_bytes().into(),
            "request_length" => self.times.received_bytes.to_string().into_bytes().into(),
            "upstream_addr" => upstream.address?.to_string().into_bytes().into(),
            "balancer_ip" => upstream.address?.ip().to_string().into_bytes().into(),
            "balancer_port" => upstream.address?.port().to_string().into_bytes().into(),
            "upstream_status" => {
                if upstream.statuses.is_empty() {
                    return None;
                }
                let all: Vec<String> = upstream.statuses.iter().map(u16::to_string).collect();
                all.join(", ").into_bytes().into()
            }
            "upstream_scheme" => upstream.scheme.as_bytes().into(),
            "upstream_host" => upstream.host.as_bytes().into(),
            "upstream_uri" => with_query(self.request.path(), self.request.query()),
            "request_time" => seconds(self.worker().now() - self.times.start),
            "upstream_response_time" => {
                let start = self.times.upstream_start?;
                seconds(self.times.upstream_end.unwrap_or_else(|| self.worker().now()) - start)
            }
            _ => return None,
        })
    }

    /// `http_x_name` means the header `X-Name`: underscores stand for hyphens.
    fn header(&self, name: &str) -> Text<'_> {
        field_named(&self.request.head, name)
    }
}

fn field_named<'a>(head: &'a usher_http1::head::Head, name: &str) -> Text<'a> {
    let found = if name.contains('_') { head.get(&name.replace('_', "-")) } else { head.get(name) };
    found.map(Cow::Borrowed)
}

fn with_query<'a>(path: &'a str, query: Option<&str>) -> Cow<'a, [u8]> {
    match query {
        None => path.as_bytes().into(),
        Some(query) => format!("{path}?{query}").into_bytes().into(),
    }
}

fn seconds<'a>(time: std::time::Duration) -> Cow<'a, [u8]> {
    format!("{:.3}", time.as_secs_f64()).into_bytes().into()
}
