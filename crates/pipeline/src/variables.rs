//! The variables that a request answers, by APISIX's names (data plane contract, section 11).

use std::borrow::Cow;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Instant;

use usher_model::variables::{Variables, is_of_body};

use crate::exchange::{AnsweredBy, Exchange};
use crate::moment;

pub(crate) mod body;
mod graphql;

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
        if let Some(field) = name.strip_prefix("upstream_http_") {
            let is_there = self.answered_by == AnsweredBy::Upstream && !self.upstream.statuses.is_empty();
            return if is_there { field_named(&self.answer, field) } else { None };
        }
        if is_of_body(name) {
            return self.body_variables().variable(name);
        }
        let set = self.set_variables().iter().find(|(known, _)| *known == name);
        match set {
            Some((_, value)) => Some(value.as_bytes().into()),
            // The plugin `request-id` says another.
            None if name == "apisix_request_id" => Some(self.request_id().as_bytes().into()),
            None => None,
        }
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
            "http2" => match (request.head.version(), request.tls) {
                (usher_http1::head::Version::Http2, true) => "h2",
                (usher_http1::head::Version::Http2, false) => "h2c",
                _ => "",
            }
            .as_bytes()
            .into(),
            "hostname" => crate::machine::name().as_bytes().into(),
            "host" | "server_name" => request.host().as_bytes().into(),
            "remote_addr" => self.client.ip().to_canonical().to_string().into_bytes().into(),
            "remote_port" => self.client.port().to_string().into_bytes().into(),
            "server_addr" => self.server.ip().to_canonical().to_string().into_bytes().into(),
            "server_port" => self.server.port().to_string().into_bytes().into(),
            "connection" => self.connection.to_string().into_bytes().into(),
            "connection_requests" => self.connection_requests.to_string().into_bytes().into(),
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
            "route_name" => given(&self.route.as_ref()?.name)?,
            "service_id" => given(&self.route.as_ref()?.service_id)?,
            "service_name" => given(&self.route.as_ref()?.service_name)?,
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
            "request_id" => self.request_id().as_bytes().into(),
            "time_local" => moment::local(self.worker().unix_ms() / 1000).into_bytes().into(),
            "time_iso8601" => moment::iso8601(self.worker().unix_ms() / 1000).into_bytes().into(),
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
            "upstream_addr" => upstream.addresses()?.into_bytes().into(),
            "balancer_ip" => upstream.address?.ip().to_string().into_bytes().into(),
            "balancer_port" => upstream.address?.port().to_string().into_bytes().into(),
            "upstream_unresolved_host" => match upstream.node_name.as_str() {
                "" => upstream.address?.ip().to_string().into_bytes().into(),
                name => name.as_bytes().into(),
            },
            "upstream_status" => {
                if upstream.statuses.is_empty() {
                    return None;
                }
                let all: Vec<String> = upstream.statuses.iter().map(u16::to_string).collect();
                all.join(", ").into_bytes().into()
            }
            "upstream_response_length" => {
                if upstream.statuses.is_empty() {
                    return None;
                }
                // What earlier tries answered with is not read.
                let earlier = "0, ".repeat(upstream.statuses.len() - 1);
                format!("{earlier}{}", self.times.upstream_body_bytes).into_bytes().into()
            }
            "upstream_scheme" => upstream.scheme.as_bytes().into(),
            "upstream_host" => upstream.host.as_bytes().into(),
            "upstream_uri" => with_query(self.request.sent_path(), self.request.query()),
            "request_time" => seconds(self.worker().now() - self.times.start),
            "upstream_connect_time" => self.of_upstream(self.times.upstream_connected?)?,
            "upstream_header_time" => self.of_upstream(self.times.upstream_headed?)?,
            "upstream_response_time" => {
                self.of_upstream(self.times.upstream_end.unwrap_or_else(|| self.worker().now()))?
            }
            _ => return None,
        })
    }

    /// The parts of the path that the route's pattern names.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.set_variables().iter();
        all.filter_map(|(name, part)| Some((name.strip_prefix("uri_param_")?, part.as_str())))
    }

    /// 32 hexadecimal digits that no other request has, as nginx's `$request_id`. They tell requests apart and are no secret.
    fn request_id(&self) -> &str {
        self.request_id.get_or_init(|| {
            // Each one has keys of its own, made of random ones of its thread.
            let keys = RandomState::new();
            format!("{:016x}{:016x}", keys.hash_one(0_u8), keys.hash_one(1_u8))
        })
    }

    /// The time from the first try of the upstream until then.
    fn of_upstream(&self, until: Instant) -> Text<'_> {
        Some(seconds(until.saturating_duration_since(self.times.upstream_start?)))
    }

    /// `http_x_name` means the header `X-Name`, or else `X_Name`: underscores stand for hyphens, and for themselves.
    fn header(&self, name: &str) -> Text<'_> {
        field_named(&self.request.head, name)
    }
}

/// A fact that may be missing: a route without a service has none with an empty id.
fn given(text: &str) -> Text<'_> {
    (!text.is_empty()).then(|| text.as_bytes().into())
}

fn field_named<'a>(head: &'a usher_http1::head::Head, name: &str) -> Text<'a> {
    if !name.contains('_') {
        return head.get(name).map(Cow::Borrowed);
    }
    let like = |sent: &str| {
        let same =
            |(sent, asked): (u8, u8)| sent.eq_ignore_ascii_case(&asked) || (asked == b'_' && sent == b'-');
        sent.len() == name.len() && sent.bytes().zip(name.bytes()).all(same)
    };
    // What is written with hyphens goes first: it is what plugins and the gateway itself write.
    let found = head.get(&name.replace('_', "-"));
    found.or_else(|| head.iter().find(|(sent, _)| like(sent)).map(|(_, value)| value)).map(Cow::Borrowed)
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
