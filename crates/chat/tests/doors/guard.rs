//! Who may come in, on every path alike.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::support::Side;

const PATHS: [&str; 5] = ["/", "/.well-known/ai-plugin.json", "/apisix/admin/routes", "/mcp", "/nowhere"];

async fn ask(side: &Side, method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut request = client.request(method, format!("{}{path}", side.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.text().await.unwrap())
}

#[tokio::test]
async fn a_foreign_origin_gets_403_and_a_foreign_host_421_everywhere() {
    let side = Side::start().await;
    for path in PATHS {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            for origin in
                ["https://evil.test", "null", "http://localhost.evil.test", "https://chatgpt.com.evil.test"]
            {
                let (status, headers, body) = ask(&side, method.clone(), path, &[("origin", origin)]).await;
                assert_eq!(status, 403, "{method} {path} from {origin}: {body}");
                assert!(headers.get("access-control-allow-origin").is_none());
            }
            for host in ["evil.test", "evil.test:5000", "localhost", "127.0.0.1:1", "chatgpt.com"] {
                let (status, _, body) = ask(&side, method.clone(), path, &[("host", host)]).await;
                assert_eq!(status, 421, "{method} {path} for {host}: {body}");
            }
        }
    }
    assert_eq!(side.revision(), 0, "nothing of that reached the store");
}

#[tokio::test]
async fn own_hosts_and_known_origins_come_in() {
    let side = Side::start().await;
    let port = side.address.port();
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("LOCALHOST:{port}")] {
        assert_eq!(ask(&side, Method::GET, "/", &[("host", &host)]).await.0, 200, "{host}");
    }
    for origin in
        ["https://chatgpt.com", "https://chat.openai.com", "http://localhost:3000", "http://127.0.0.1:8080"]
    {
        let (status, headers, _) = ask(&side, Method::GET, "/openapi.json", &[("origin", origin)]).await;
        assert_eq!((status, headers["access-control-allow-origin"].to_str().unwrap()), (200, origin));
        assert!(headers.get_all("vary").iter().any(|names| names == "Origin"));
    }
}

#[tokio::test]
async fn a_preflight_names_what_may_come() {
    let side = Side::start().await;
    let headers = [
        ("origin", "https://chatgpt.com"),
        ("access-control-request-method", "PATCH"),
        (
            "access-control-request-headers",
            "content-type, openai-conversation-id, openai-ephemeral-user-id, x-api-key, cookie",
        ),
        ("access-control-request-private-network", "true"),
    ];
    for path in ["/apisix/admin/routes/1", "/mcp", "/openapi.yaml"] {
        let (status, answer, _) = ask(&side, Method::OPTIONS, path, &headers).await;
        assert_eq!(status, 204, "{path}");
        let said = |name: &str| answer[name].to_str().unwrap().to_owned();
        assert_eq!(said("access-control-allow-origin"), "https://chatgpt.com");
        assert_eq!(said("access-control-allow-methods"), "GET, POST, PUT, PATCH, DELETE");
        assert_eq!(
            said("access-control-allow-headers"),
            "content-type, openai-conversation-id, openai-ephemeral-user-id"
        );
        assert_eq!(said("access-control-allow-private-network"), "true");
    }
    assert_eq!(side.revision(), 0);
}

#[tokio::test]
async fn bodies_have_a_bound() {
    let side = Side::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let huge = json!({ "uri": "/a", "desc": "x".repeat(1 << 20) }).to_string();
    for path in ["/mcp", "/apisix/admin/routes/1"] {
        let request = client.post(format!("{}{path}", side.url())).header("content-type", "application/json");
        let response = request
            .header("accept", "application/json, text/event-stream")
            .body(huge.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 413, "{path}");
        let said: Value = response.json().await.unwrap();
        assert!(said["error_msg"].as_str().unwrap().contains("1048576 bytes"), "{path}: {said}");
    }
}

#[tokio::test]
async fn a_body_of_unsaid_length_has_the_same_bound() {
    let side = Side::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let pieces = || futures_util::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 15])));
    for path in ["/mcp", "/apisix/admin/routes"] {
        let request = client
            .post(format!("{}{path}", side.url()))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(reqwest::Body::wrap_stream(pieces()));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 413, "{path}");
        let said: Value = response.json().await.unwrap();
        assert!(said["error_msg"].as_str().unwrap().contains("bytes"), "{path}: {said}");
    }
}

#[tokio::test]
async fn writes_have_to_be_json() {
    let side = Side::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({ "uri": "/a", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:1": 1 } } })
        .to_string();
    let put = |kind: &'static str| {
        client
            .put(format!("{}/apisix/admin/routes/1", side.url()))
            .header("content-type", kind)
            .body(body.clone())
            .send()
    };
    // What a page of a foreign origin can send without being asked first.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert!(put(kind).await.unwrap().status().is_client_error(), "{kind}");
    }
    assert_eq!(side.revision(), 0);
    assert_eq!(put("application/json").await.unwrap().status(), 201);
}
