//! Lines that reach a broker, which speaks the protocol itself and takes nothing for granted.

mod broker;

use serde_json::{Value, json};
use usher_pipeline::harness::{Clock, Harness, harness, try_harness};

use super::PLUGIN;
use broker::{Broker, Manner};

fn body(broker: &Broker, more: &Value) -> Value {
    let mut body = json!({
        "brokers": [{ "host": "127.0.0.1", "port": broker.port }], "kafka_topic": "requests", "timeout": 1,
        "batch_max_size": 1, "log_format": { "uri": "$uri" },
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn bench(broker: &Broker, more: &Value) -> Harness {
    harness(&PLUGIN, body(broker, more)).on_runtime(Clock::Real)
}

#[test]
fn lines_arrive_alone_or_as_a_list_in_few_messages() {
    for (more, wanted) in [
        (
            json!({}),
            &["{\"uri\":\"/a\",\"route_id\":\"1\"}", "{\"uri\":\"/b\",\"route_id\":\"1\"}"] as &[&str],
        ),
        (
            json!({ "batch_max_size": 2 }),
            &["[{\"uri\":\"/a\",\"route_id\":\"1\"},{\"uri\":\"/b\",\"route_id\":\"1\"}]"],
        ),
        (
            json!({ "batch_max_size": 2, "producer_batch_size": 40 }),
            &["[{\"uri\":\"/a\",\"route_id\":\"1\"}]", "[{\"uri\":\"/b\",\"route_id\":\"1\"}]"],
        ),
    ] {
        let broker = Broker::start(Manner::Usual);
        let mut bench = bench(&broker, &more);
        bench.get("/a").expect_status(200);
        bench.get("/b").expect_status(200);
        bench.until(|| broker.messages().len() == wanted.len());
        let mut said: Vec<String> = broker.messages().into_iter().map(|message| message.value).collect();
        said.sort();
        assert_eq!(said, wanted, "{more}");
        broker.is_content();
    }
}

#[test]
fn messages_of_one_key_go_to_one_partition_and_others_go_round() {
    for (key, few) in [(Some("k"), true), (None, false)] {
        let broker = Broker::start(Manner::Usual);
        let mut bench = bench(&broker, &json!({ "key": key.unwrap_or_default(), "required_acks": -1 }));
        for _ in 0..6 {
            bench.get("/a");
        }
        bench.until(|| broker.messages().len() == 6);
        let messages = broker.messages();
        let mut partitions: Vec<i32> = messages.iter().map(|message| message.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        // The CRC-32 of "k" is 0x08d55d0d... modulo three partitions.
        let wanted = if few { vec![(crc32fast::hash(b"k") % 3) as i32] } else { vec![0, 1, 2] };
        assert_eq!(partitions, wanted);
        assert!(messages.iter().all(|message| message.key.as_deref() == key && message.acks == -1));
        broker.is_content();
    }
}

#[test]
fn what_has_moved_is_looked_for_and_sent_again() {
    let broker = Broker::start(Manner::MovesOnce);
    let mut bench = bench(&broker, &json!({}));
    bench.get("/a");
    bench.until(|| broker.messages().len() == 1);
    assert_eq!((broker.asked_where(), broker.messages()[0].value.contains("/a")), (2, true));
    broker.is_content();
}

#[test]
fn a_broker_that_is_away_is_passed_over() {
    let broker = Broker::start(Manner::Usual);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let brokers = json!([
        { "host": "127.0.0.1", "port": gone },
        { "host": "127.0.0.1", "port": broker.port },
    ]);
    let mut bench = bench(&broker, &json!({ "brokers": brokers }));
    bench.get("/a").expect_status(200);
    bench.until(|| broker.messages().len() == 1);
}

#[test]
fn brokers_that_are_slow_or_lie_cost_their_lines_and_nobody_else() {
    for manner in [Manner::Silent, Manner::Garbage, Manner::HugeLength, Manner::HugeLists, Manner::Refuses] {
        let broker = Broker::start(manner);
        let mut bench = bench(&broker, &json!({}));
        for _ in 0..3 {
            bench.get("/a").expect_status(200);
        }
        bench.until(|| broker.was_asked());
        bench.get("/b").expect_status(200);
        assert!(broker.messages().is_empty(), "{manner:?}");
    }
}

#[test]
fn the_gateway_proves_who_it_is_and_so_does_the_broker() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for (password, lets_in) in [("pencil", true), ("wrong", false)] {
            let broker = Broker::start(Manner::Asks(mechanism));
            let sasl = json!({ "mechanism": mechanism, "user": "us,er", "password": password });
            let brokers = json!([{ "host": "127.0.0.1", "port": broker.port, "sasl_config": sasl }]);
            let mut bench = bench(&broker, &json!({ "brokers": brokers }));
            bench.get("/a");
            bench.until(|| if lets_in { broker.messages().len() == 1 } else { broker.refused() > 0 });
            assert_eq!(broker.messages().len(), usize::from(lets_in), "{mechanism} {password}");
            broker.is_content();
        }
    }
    // A broker that doesn't know the password is sent nothing.
    let broker = Broker::start(Manner::Pretends);
    let sasl = json!({ "mechanism": "SCRAM-SHA-256", "user": "us,er", "password": "pencil" });
    let brokers = json!([{ "host": "127.0.0.1", "port": broker.port, "sasl_config": sasl }]);
    let mut bench = bench(&broker, &json!({ "brokers": brokers }));
    bench.get("/a");
    bench.until(|| broker.was_left());
    assert!(broker.messages().is_empty() && broker.asked_where() == 0);
}

#[test]
fn a_request_is_told_as_it_came_without_its_credentials() {
    let broker = Broker::start(Manner::Usual);
    let mut bench = bench(&broker, &json!({ "meta_format": "origin", "include_req_body": true }));
    bench.send("POST", "/a?b=1", &[("Authorization", "Bearer s3cret"), ("X-A", "1")], "hello");
    bench.until(|| broker.messages().len() == 1);
    assert_eq!(
        broker.messages()[0].value,
        "POST /a?b=1 HTTP/1.1\r\nAuthorization: ***\r\nX-A: 1\r\nHost: a.test\r\n\r\nhello"
    );
}

#[test]
fn a_password_never_leaves_in_the_clear() {
    let refused = |brokers: Value, more: Value| {
        let mut body = json!({ "brokers": brokers, "kafka_topic": "t" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        try_harness(&PLUGIN, body).err().map(|error| error.message)
    };
    let broker = |mechanism: &str| json!([{ "host": "kafka.test", "port": 9092, "sasl_config": { "mechanism": mechanism, "user": "u", "password": "s3cret" } }]);
    let said = refused(broker("PLAIN"), json!({})).unwrap();
    assert!(
        said.contains("the password of u would be sent to kafka.test:9092 in the clear")
            && !said.contains("s3cret")
    );
    assert_eq!(refused(broker("PLAIN"), json!({ "tls": { "verify": true } })), None);
    assert_eq!(refused(broker("SCRAM-SHA-256"), json!({})), None);
}
