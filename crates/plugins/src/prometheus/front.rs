//! What happens in front of every request: connections of clients, handshakes, until when the certificates of ssls are good, whether etcd answers.

use usher_pipeline::env::Process;
use usher_pipeline::front::{Connections, Front, Handshake, StoreFacts};

use super::text::{Text, Type, push_label};

/// Certificates that have a line of their own: those that end first.
const MOST_CERTIFICATES: usize = 1000;

/// By APISIX's names where it has them. Nothing of what this gateway hasn't got: certificates, streams, an etcd.
pub(super) fn render(process: &Process, text: &mut Text<'_>) {
    let front = Front::of(process);
    connections(&front, text);
    store(&front, text);
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

/// The states are nginx's: waiting are connections between two requests.
fn connections(front: &Front, text: &mut Text<'_>) {
    let Connections { accepted, handled, active, reading, writing } = front.connections();
    let waiting = active.saturating_sub(reading.saturating_add(writing));
    const NAME: &str = "nginx_http_current_connections";
    text.describe(NAME, Type::Gauge, "Connections of clients by state, as of a tenth of a second ago");
    for (state, number) in [
        ("accepted", accepted),
        ("active", active),
        ("handled", handled),
        ("reading", reading),
        ("waiting", waiting),
        ("writing", writing),
    ] {
        text.sample(NAME, &[&format!("state=\"{state}\"")], number);
    }
}

fn store(front: &Front, text: &mut Text<'_>) {
    let Some(StoreFacts { reachable, revision }) = front.store() else { return };
    text.describe("etcd_modify_indexes", Type::Gauge, "The newest revision of etcd that this gateway knows");
    for key in ["max_modify_index", "x_etcd_index"] {
        text.sample("etcd_modify_indexes", &[&format!("key=\"{key}\"")], revision);
    }
    text.describe("etcd_reachable", Type::Gauge, "Whether etcd answers: 1, or 0");
    text.sample("etcd_reachable", &[], u64::from(reachable));
}
