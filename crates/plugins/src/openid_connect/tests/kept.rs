//! Sessions that lie in a real Redis.
#![cfg(test)]

use redis::Commands as _;
use serde_json::{Value, json};
use usher_pipeline::harness::try_harness;

use super::login::{logged_in, with_session};
use super::standin::{Browser, Provider};
use crate::openid_connect::PLUGIN;
use crate::redis_link::tests::Server;

fn in_redis(port: u16) -> Value {
    with_session(&json!({ "unauth_action": "auth", "session": {
        "secret": "0123456789abcdef", "storage": "redis", "redis": { "port": port, "password": "sesame", "prefix": "web" },
    } }))
}

#[test]
fn the_cookie_only_says_which_session_it_is() {
    let server = Server::start("requirepass sesame");
    let provider = Provider::start();
    let mut bench = provider.live_bench(in_redis(server.port));
    let mut browser = logged_in(&provider, &mut bench);
    let outcome = browser.get(&mut bench, "/");
    assert_eq!(outcome.expect_status(200).seen().head.get_str("x-access-token"), Some("first-access"));
    let size: usize = browser.0.values().filter_map(Value::as_str).map(str::len).sum();
    assert!(size < 120, "{:?}", browser.0);
    let mut redis = redis::Client::open(format!("redis://:sesame@127.0.0.1:{}/", server.port)).unwrap();
    let keys: Vec<String> = redis.keys("*").unwrap();
    assert!(keys.len() == 1 && keys[0].starts_with("web:"), "{keys:?}");
    let lies: String = redis.get(&keys[0]).unwrap();
    assert!(!lies.contains("first-access"), "{lies}");
    // 900 seconds without use, and the minute in which use isn't noted.
    let lasts: u64 = redis.ttl(&keys[0]).unwrap();
    assert!((900..=960).contains(&lasts), "{lasts}");
    // Another session's text in its place makes nobody somebody else.
    let mut other = logged_in(&provider, &mut bench);
    let others: Vec<String> = redis.keys("*").unwrap();
    let others = others.iter().find(|key| **key != keys[0]).unwrap();
    let theirs: String = redis.get(others).unwrap();
    let () = redis.set(&keys[0], theirs).unwrap();
    Browser(browser.0.clone()).get(&mut bench, "/").expect_status(302);
    let () = redis.set(&keys[0], lies).unwrap();
    browser.get(&mut bench, "/").expect_status(200);
    // A logout ends it everywhere: also where another gateway only asks that Redis.
    let copy = Browser(browser.0.clone());
    browser.get(&mut bench, "/logout").expect_status(302);
    assert_eq!(redis.keys::<_, Vec<String>>("*").unwrap().len(), 1);
    let mut elsewhere = provider.live_bench(in_redis(server.port));
    Browser(copy.0).get(&mut elsewhere, "/").expect_status(302);
    other.get(&mut elsewhere, "/").expect_status(200);
    // Without its Redis, nobody is let in, and nobody is sent to log in again.
    drop(server);
    other.get(&mut elsewhere, "/").expect_status(500);
}

#[test]
fn refuses_a_redis_that_is_not_used() {
    let redis = json!({ "session": { "secret": "0123456789abcdef", "redis": {} } });
    let error = try_harness(&PLUGIN, with_session(&redis)).err().unwrap();
    assert!(error.message.contains("redis is only used where storage is redis"), "{error}");
}
