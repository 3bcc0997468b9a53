//! What happens in front of every request: handshakes with clients, and until when the certificates of ssls are good.

use usher_pipeline::env::Process;
use usher_pipeline::front::{Front, Handshake};

use super::text::{Text, Type, push_label};

/// Certificates that have a line of their own: those that end first.
const MOST_CERTIFICATES: usize = 1000;

/// Nothing where TLS is spoken with nobody.
pub(super) fn render(process: &Process, text: &mut Text<'_>) {
    let front = Front::of(process);
    let certificates = front.certificates(MOST_CERTIFICATES);
    if !certificates.is_empty() {
        const NAME: &str = "ssl_certificate_ends_seconds";
        let help =
            "When the first certificate of an ssl object ends, in seconds since 1970; those that end first";
        text.describe(NAME, Type::Gauge, help);
        for (id, ends) in certificates {
            let mut labels = String::new();
            push_label(&mut labels, "id", &id);
            text.sample(NAME, &[&labels], ends);
        }
    }
    let streams = front.streams();
    if !streams.is_empty() {
        let help = "Connections that a stream route has handled";
        text.describe("stream_connection_total", Type::Counter, help);
        for (route, count) in streams {
            let mut labels = String::new();
            push_label(&mut labels, "route", &route);
            text.sample("stream_connection_total", &[&labels], count);
        }
    }
    let handshakes = Handshake::ALL.map(|(how, name)| (name, front.handshakes(how)));
    if handshakes.iter().any(|(_, count)| *count > 0) {
        text.describe("tls_handshakes_total", Type::Counter, "TLS handshakes with clients, by how they went");
        for (name, count) in handshakes {
            text.sample("tls_handshakes_total", &[&format!("result=\"{name}\"")], count);
        }
    }
}
