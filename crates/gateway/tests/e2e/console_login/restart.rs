//! A restart ends the sessions that a provider vouched for: the settings, which say what its people may do, may have changed with it.

use serde_json::Value;
use usher_model::jose::algorithm::Algorithm;

use super::browser::{Browser, start};
use super::provider::Provider;
use crate::support::Usher;

#[test]
fn a_login_by_the_provider_does_not_outlive_a_restart_and_that_is_said() {
    let provider = Provider::start(Algorithm::Es256);
    let usher = start(&provider, "");
    let mut browser = Browser::new(&usher);
    assert_eq!(browser.logs_in(&provider, "ann").status, 200);
    let cookies = browser.cookies.clone();
    let folder = usher.kill();
    let config = folder.path().join("config.yaml");
    let usher = Usher::start_in(folder, &["--config", config.to_str().unwrap()]);
    let mut browser = Browser::new(&usher);
    browser.cookies = cookies;
    let session = browser.send("GET", "/session", &Value::Null).json();
    assert_eq!(session.get("you"), None, "{session}");
    assert!(session["ended"].as_str().unwrap().contains("Usher was started again"), "{session}");
    assert_eq!(browser.send("GET", "/status", &Value::Null).status, 401);
}
