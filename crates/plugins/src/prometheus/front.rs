//! What happens in front of every request: connections of clients, handshakes, until when the certificates of ssls are good, whether etcd answers.

use usher_model::kind::Kind;
use usher_pipeline::env::Process;
use usher_pipeline::front::{Connections, Front, Handshake, StoreFacts};

use super::text::{Text, Type, push_label};

/// Certificates that have a line of their own: those that end first.
const MOST_CERTIFICATES: usize = 1000;

/// The kinds that APISIX tells of, by its names.
const KINDS: [(&str, Kind); 8] = [
    ("consumers", Kind::Consumer),
    ("global_rules", Kind::GlobalRule),
    ("protos", Kind::Proto),
    ("routes", Kind::Route),
    ("services", Kind::Service),
    ("ssls", Kind::Ssl),
    ("stream_routes", Kind::StreamRoute),
    ("upstreams", Kind::Upstream),
];

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
    let Connections { accepted, handled, requests: _, active, reading, writing } = front.connections();
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
    text.describe(
        "etcd_modify_indexes",
        Type::Gauge,
        "The revision at which an object of each kind was last changed, and the newest of etcd that this gateway knows",
    );
    let mut all = KINDS.map(|(key, kind)| (key, front.changed(kind))).to_vec();
    let newest = all.iter().map(|(_, revision)| *revision).max().unwrap_or_default();
    all.extend([("max_modify_index", newest), ("prev_index", revision), ("x_etcd_index", revision)]);
    all.sort_unstable();
    for (key, revision) in all {
        text.sample("etcd_modify_indexes", &[&format!("key=\"{key}\"")], revision);
    }
    text.describe("etcd_reachable", Type::Gauge, "Whether etcd answers: 1, or 0");
    text.sample("etcd_reachable", &[], u64::from(reachable));
}

#[cfg(test)]
mod tests {
    use usher_model::kind::Kind;
    use usher_pipeline::front::{Connections, Front, StoreFacts};
    use usher_pipeline::harness::harness;

    use super::super::PLUGIN;

    #[test]
    fn requests_are_all_of_the_gateway_s_and_kinds_have_the_revision_of_their_last_change() {
        let bench = harness(&PLUGIN, serde_json::json!({}));
        let front = Front::of(bench.process());
        front.worker().tell(Connections { requests: 7, ..Connections::default() });
        front.watch_store(|| Some(StoreFacts { reachable: true, revision: 30 }));
        for (kind, revision) in [(Kind::Route, 12), (Kind::Ssl, 20), (Kind::Route, 9), (Kind::Secret, 25)] {
            front.note_change(kind, revision);
        }
        let text = super::super::render(bench.process());
        for (name, value) in [
            ("http_requests_total", 7),
            ("etcd_modify_indexes{key=\"consumers\"}", 0),
            ("etcd_modify_indexes{key=\"global_rules\"}", 0),
            ("etcd_modify_indexes{key=\"routes\"}", 12),
            ("etcd_modify_indexes{key=\"ssls\"}", 20),
            ("etcd_modify_indexes{key=\"max_modify_index\"}", 20),
            ("etcd_modify_indexes{key=\"prev_index\"}", 30),
            ("etcd_modify_indexes{key=\"x_etcd_index\"}", 30),
        ] {
            assert!(text.contains(&format!("\napisix_{name} {value}\n")), "{name}: {text}");
        }
    }
}
