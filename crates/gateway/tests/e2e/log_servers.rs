//! Servers that take log lines over TLS, by the real binary.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::support::{Origin, Usher, eventually};

/// Takes lines under a certificate that nobody vouches for; each connection's text, or why there was none.
fn server() -> (SocketAddr, Receiver<Result<String, String>>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, tells) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, told) = (Arc::clone(&config), told.clone());
            std::thread::spawn(move || {
                let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                let mut piece = [0; 4096];
                while let Ok(count @ 1..) =
                    stream.read(&mut piece).map_err(|error| told.send(Err(error.to_string())))
                {
                    let _ = told.send(Ok(String::from_utf8_lossy(&piece[..count]).into_owned()));
                }
            });
        }
    });
    (address, tells)
}

/// What the server hears of one request that this plugin logs.
fn hears(
    usher: &Usher,
    origin: &Origin,
    tells: &Receiver<Result<String, String>>,
    name: &str,
    body: &Value,
) -> Result<String, String> {
    usher.put("/routes/1", &json!({ "uri": "/*", "plugins": { name: body }, "upstream": origin.upstream() }));
    assert_eq!(usher.get("/logged", &[]).status, 200);
    let heard = Mutex::new(None);
    eventually("a connection to the log server", || {
        *heard.lock().unwrap() = tells.try_recv().ok();
        heard.lock().unwrap().is_some()
    });
    heard.into_inner().unwrap().unwrap()
}

#[test]
fn lines_go_to_a_server_that_nobody_vouches_for_only_where_compat_says_so() {
    let origin = Origin::start("origin");
    for (compat, arrives) in [("", false), ("compat: [unverified-upstreams]\n", true)] {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let settings = folder.path().join("config.yaml");
        std::fs::write(&settings, compat).unwrap();
        let usher = Usher::start_in(folder, &["--store", "memory", "--config", settings.to_str().unwrap()]);
        for (name, more) in [("tcp-logger", json!({ "tls_options": "localhost" })), ("syslog", json!({}))] {
            let (address, tells) = server();
            let mut body =
                json!({ "host": "127.0.0.1", "port": address.port(), "tls": true, "batch_max_size": 1 });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let heard = hears(&usher, &origin, &tells, name, &body);
            assert_eq!(heard.is_ok_and(|text| text.contains("/logged")), arrives, "{name} with {compat:?}");
        }
    }
}
