//! Programs that a person lets in over OAuth 2.1: the whole way through the real binary, and every turn that a thief would take.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::support::{Answer, KEY, Usher, request};

const PASSWORD: &str = "correct horse battery";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const REDIRECT: &str = "http://127.0.0.1:33418/callback";

fn started() -> Usher {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, "chat: {oauth: true}\n").unwrap();
    let usher = Usher::start_in(folder, &["--config", config.to_str().unwrap()]);
    for (name, role) in [("jack", "admin"), ("vera", "viewer")] {
        let user = json!({ "name": name, "role": role, "password": PASSWORD });
        let made = own(&usher, "POST", "/users", Some(&user));
        assert!(matches!(made.status, 200 | 201), "{}", made.text());
    }
    usher
}

/// Usher's own API with the admin key.
fn own(usher: &Usher, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let text = body.map(Value::to_string).unwrap_or_default();
    let fields = [("X-API-KEY", KEY), ("Content-Type", "application/json")];
    request(usher.address("admin"), method, &format!("/usher/v1{path}"), &fields, text.as_bytes())
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    let pair =
        |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

pub(crate) fn form(to: SocketAddr, path: &str, fields: &[(&str, &str)], pairs: &[(&str, &str)]) -> Answer {
    let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
    all.extend_from_slice(fields);
    request(to, "POST", path, &all, encoded(pairs).as_bytes())
}

pub(crate) fn register(to: SocketAddr) -> String {
    let wanted = json!({ "client_name": "Test <Client>", "redirect_uris": ["http://127.0.0.1/callback", "https://app.example.com/cb"],
        "token_endpoint_auth_method": "none" });
    let answer = request(
        to,
        "POST",
        "/oauth/register",
        &[("Content-Type", "application/json")],
        wanted.to_string().as_bytes(),
    );
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()))
}

/// What a client sends a person to.
pub(crate) fn asked(usher: &Usher, client: &str, change: &[(&str, &str)]) -> Answer {
    let (challenge, resource) = (challenge(), format!("http://{}/mcp", usher.address("chat")));
    let mut all = vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", REDIRECT),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("state", "a state & more"),
        ("scope", "chat"),
        ("resource", &resource),
    ];
    for (name, value) in change {
        all.retain(|(known, _)| known != name);
        all.push((name, value));
    }
    request(usher.address("chat"), "GET", &format!("/oauth/authorize?{}", encoded(&all)), &[], b"")
}

/// The form that a page holds, and the cookie that it came with.
pub(crate) fn held(page: &Answer) -> (String, String) {
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    let sealed =
        text.split("name=\"request\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let cookie = page.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    (sealed, cookie)
}

/// The parameters of an answer that the browser is sent back with.
pub(crate) fn sent_back(answer: &Answer) -> Vec<(String, String)> {
    assert_eq!(answer.status, 303, "{}", answer.text());
    let location = answer.field("location").unwrap();
    assert!(location.starts_with(&format!("{REDIRECT}?")), "{location}");
    let query = location.split_once('?').unwrap().1;
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect()
}

pub(crate) fn value<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
    pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// A person's yes: the code.
fn agreed(usher: &Usher, client: &str, user: &str, change: &[(&str, &str)], role: &str) -> String {
    let (sealed, cookie) = held(&asked(usher, client, change));
    let pairs = [
        ("request", sealed.as_str()),
        ("user", user),
        ("password", PASSWORD),
        ("role", role),
        ("answer", "allow"),
    ];
    let answer = form(usher.address("chat"), "/oauth/authorize", &[("Cookie", &cookie)], &pairs);
    let back = sent_back(&answer);
    assert_eq!(value(&back, "state"), "a state & more");
    assert_eq!(value(&back, "iss"), format!("http://{}", usher.address("chat")));
    value(&back, "code").to_owned()
}

pub(crate) fn redeemed(usher: &Usher, client: &str, code: &str, change: &[(&str, &str)]) -> Answer {
    let mut all = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("client_id", client),
        ("code_verifier", VERIFIER),
    ];
    for (name, value) in change {
        all.retain(|(known, _)| known != name);
        all.push((name, value));
    }
    form(usher.address("chat"), "/oauth/token", &[], &all)
}

pub(crate) fn renewed(usher: &Usher, client: &str, renewal: &str) -> Answer {
    let pairs = [("grant_type", "refresh_token"), ("refresh_token", renewal), ("client_id", client)];
    form(usher.address("chat"), "/oauth/token", &[], &pairs)
}

/// The tools that a token sees; the status where it sees none.
pub(crate) fn tools(usher: &Usher, token: &str) -> Result<usize, u16> {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "raw", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {} } } });
    let bearer = format!("Bearer {token}");
    let mut fields = vec![
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/list"),
    ];
    if !token.is_empty() {
        fields.push(("Authorization", &bearer));
    }
    let answer = request(usher.address("chat"), "POST", "/mcp", &fields, message.to_string().as_bytes());
    if answer.status != 200 {
        return Err(answer.status);
    }
    let text = answer.text();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
    let listed: Value = serde_json::from_str(data).unwrap();
    Ok(listed["result"]["tools"].as_array().unwrap().len())
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("{name} is missing: {answer}"))
}

#[test]
fn a_client_finds_its_way_from_a_401_to_a_tool() {
    let usher = started();
    let chat = usher.address("chat");
    let refused = request(chat, "POST", "/mcp", &[("Content-Type", "application/json")], b"{}");
    assert_eq!(refused.status, 401);
    let told = refused.field("www-authenticate").unwrap();
    let metadata = format!("http://{chat}/.well-known/oauth-protected-resource/mcp");
    assert!(
        told.starts_with("Bearer ") && told.contains(&format!("resource_metadata=\"{metadata}\"")),
        "{told}"
    );

    let resource = request(chat, "GET", "/.well-known/oauth-protected-resource/mcp", &[], b"").json();
    assert_eq!(resource["resource"], format!("http://{chat}/mcp"));
    assert_eq!(resource["authorization_servers"], json!([format!("http://{chat}")]));
    let server = request(chat, "GET", "/.well-known/oauth-authorization-server", &[], b"").json();
    assert_eq!(server["issuer"], format!("http://{chat}"));
    assert_eq!(server["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(server["client_id_metadata_document_supported"], true);
    let manifest = request(chat, "GET", "/.well-known/ai-plugin.json", &[], b"").json();
    assert_eq!(
        (&manifest["auth"]["type"], text(&manifest["auth"], "client_url")),
        (&json!("oauth"), &*format!("http://localhost:{}/oauth/authorize", chat.port()))
    );

    let client = register(chat);
    let code = agreed(&usher, &client, "jack", &[], "chat");
    let granted = redeemed(&usher, &client, &code, &[]);
    assert_eq!(
        (granted.status, granted.field("cache-control")),
        (200, Some("no-store")),
        "{}",
        granted.text()
    );
    let granted = granted.json();
    assert_eq!((text(&granted, "token_type"), text(&granted, "scope")), ("Bearer", "chat"));
    let access = text(&granted, "access_token");
    assert_eq!(tools(&usher, access), Ok(14));

    // It is one of the tokens: listed with the client's and the user's name, and ended like any other.
    let listed = own(&usher, "GET", "/tokens", None).json();
    let token = &listed["tokens"][0];
    assert!(text(token, "name").starts_with("jack.test-client-"), "{token}");
    assert_eq!((text(token, "role"), text(token, "created_by")), ("chat", "jack"));
    assert!(!listed.to_string().contains(access));
    assert_eq!(own(&usher, "DELETE", &format!("/tokens/{}", text(token, "id")), None).status, 200);
    assert_eq!(tools(&usher, access), Err(401));
    assert_eq!(renewed(&usher, &client, text(&granted, "refresh_token")).status, 400);
}

#[test]
fn a_token_does_no_more_than_its_user_its_scope_and_its_audience() {
    let usher = started();
    let chat = usher.address("chat");
    let client = register(chat);
    let get = |user: &str, change: &[(&str, &str)], role: &str| {
        let code = agreed(&usher, &client, user, change, role);
        redeemed(&usher, &client, &code, &[]).json()
    };
    // A viewer gives no more than looking, whatever was asked and ticked; nobody gives more than was asked.
    for (user, scope, role, wanted) in [
        ("vera", "chat", "chat", "viewer"),
        ("jack", "viewer", "chat", "viewer"),
        ("jack", "chat", "viewer", "viewer"),
        ("jack", "viewer chat", "chat", "chat"),
    ] {
        let granted = get(user, &[("scope", scope)], role);
        assert_eq!(text(&granted, "scope"), wanted, "{user} {scope} {role}");
        assert_eq!(tools(&usher, text(&granted, "access_token")), Ok(if wanted == "chat" { 14 } else { 10 }));
    }
    let granted = get("jack", &[], "chat");
    let (access, renewal) =
        (text(&granted, "access_token").to_owned(), text(&granted, "refresh_token").to_owned());
    let bearer = format!("Bearer {access}");
    // Meant for /mcp: nothing else on this port, and nothing at all on another.
    assert_eq!(request(chat, "GET", "/apisix/admin/routes", &[("Authorization", &bearer)], b"").status, 401);
    let admin = usher.address("admin");
    for fields in [[("Authorization", bearer.as_str())], [("X-API-KEY", access.as_str())]] {
        assert_eq!(request(admin, "GET", "/apisix/admin/routes", &fields, b"").status, 401);
        assert_eq!(request(admin, "GET", "/usher/v1/status", &fields, b"").status, 401);
    }
    // Meant for the whole side: the plugin's paths too.
    let wide = get("jack", &[("resource", &format!("http://{chat}"))], "chat");
    let bearer = format!("Bearer {}", text(&wide, "access_token"));
    assert_eq!(request(chat, "GET", "/apisix/admin/routes", &[("Authorization", &bearer)], b"").status, 200);

    // A renewal gives both secrets anew; the old token is dead, and the old secret is a thief's.
    let next = renewed(&usher, &client, &renewal);
    assert_eq!(next.status, 200, "{}", next.text());
    let next = next.json();
    assert_eq!(tools(&usher, &access), Err(401));
    assert_eq!(tools(&usher, text(&next, "access_token")), Ok(14));
    assert_eq!(
        renewed(&usher, &register(chat), text(&next, "refresh_token")).status,
        400,
        "another client's"
    );
    let copied = renewed(&usher, &client, &renewal);
    assert_eq!((copied.status, text(&copied.json(), "error")), (400, "invalid_grant"));
    assert_eq!(tools(&usher, text(&next, "access_token")), Err(401), "both were ended");

    // A client gives its own token back; nobody else does.
    let granted = get("jack", &[], "chat");
    let revoke = |client: &str| {
        let pairs = [("token", text(&granted, "refresh_token")), ("client_id", client)];
        form(chat, "/oauth/revoke", &[], &pairs).status
    };
    assert_eq!((revoke(&register(chat)), tools(&usher, text(&granted, "access_token"))), (200, Ok(14)));
    assert_eq!((revoke(&client), tools(&usher, text(&granted, "access_token"))), (200, Err(401)));

    // Another password, and everything that was given by the old one is gone.
    let granted = get("jack", &[], "chat");
    let changed = own(&usher, "PUT", "/users/jack", Some(&json!({ "password": "another battery staple" })));
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(tools(&usher, text(&granted, "access_token")), Err(401));
    assert_eq!(renewed(&usher, &client, text(&granted, "refresh_token")).status, 400);
}

#[test]
fn what_a_thief_would_try_gives_nothing() {
    let usher = started();
    let chat = usher.address("chat");
    let client = register(chat);
    // Where the client can't be believed, the person is told and nobody is sent anywhere.
    for change in [
        ("client_id", "uc_AAAA"),
        ("client_id", "https://127.0.0.1/client.json"),
        ("client_id", "https://169.254.169.254/latest"),
        ("client_id", "http://localhost/client.json"),
        ("redirect_uri", "http://127.0.0.1:33418/other"),
        ("redirect_uri", "https://evil.test/callback"),
        ("redirect_uri", "https://app.example.com/cb/"),
        ("redirect_uri", "javascript:alert(1)"),
    ] {
        let page = asked(&usher, &client, &[change]);
        assert_eq!((page.status, page.field("location")), (400, None), "{change:?}");
    }
    let broken =
        asked(&usher, &client, &[("redirect_uri", "https://app.example.com/cb"), ("response_type", "token")]);
    assert_eq!(
        (broken.status, broken.field("location")),
        (400, None),
        "nobody is sent to the web before a person said yes"
    );
    for (change, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("scope", "admin"), "invalid_scope"),
        (("resource", "https://other.example.com/mcp"), "invalid_target"),
    ] {
        let back = sent_back(&asked(&usher, &client, &[change]));
        assert_eq!((value(&back, "error"), value(&back, "code")), (error, ""), "{change:?}");
    }
    // The page can't be framed, holds no script, and shows names as text.
    let page = asked(&usher, &client, &[]);
    let policy = page.field("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"), "{policy}");
    assert_eq!(page.field("x-frame-options"), Some("DENY"));
    assert!(
        page.text().contains("Test &lt;Client&gt;") && !page.text().contains("<script"),
        "{}",
        page.text()
    );
    let cookie_line = page.field("set-cookie").unwrap();
    assert!(cookie_line.contains("HttpOnly") && cookie_line.contains("SameSite=Strict"), "{cookie_line}");

    // A form of another browser, of another page, or with a changed request is none.
    let (sealed, cookie) = held(&page);
    let other = format!("usher_consent={}", "A".repeat(43));
    let yes = [
        ("request", sealed.as_str()),
        ("user", "jack"),
        ("password", PASSWORD),
        ("role", "chat"),
        ("answer", "allow"),
    ];
    let own_origin = format!("http://{chat}");
    for (fields, status) in [
        (vec![], 400),
        (vec![("Cookie", other.as_str())], 400),
        (vec![("Cookie", cookie.as_str()), ("Origin", "https://evil.test")], 403),
        (vec![("Cookie", cookie.as_str()), ("Origin", "https://chatgpt.com")], 403),
        (vec![("Cookie", cookie.as_str()), ("Origin", "http://localhost:1")], 403),
        (vec![("Cookie", cookie.as_str()), ("Sec-Fetch-Site", "cross-site")], 403),
    ] {
        let answer = form(chat, "/oauth/authorize", &fields, &yes);
        assert_eq!((answer.status, answer.field("location")), (status, None), "{fields:?}");
    }
    let mut changed = yes;
    let tampered = format!("{}A", &sealed[..sealed.len() - 1]);
    changed[0].1 = &tampered;
    assert_eq!(form(chat, "/oauth/authorize", &[("Cookie", &cookie)], &changed).status, 400);
    // A wrong password is asked for again; a no is a no.
    let mut wrong = yes;
    wrong[2].1 = "not the password";
    let again = form(chat, "/oauth/authorize", &[("Cookie", &cookie), ("Origin", &own_origin)], &wrong);
    assert!(
        again.status == 403 && again.text().contains("no user has this name and this password"),
        "{}",
        again.text()
    );
    let mut no = yes;
    no[4].1 = "deny";
    assert_eq!(
        value(&sent_back(&form(chat, "/oauth/authorize", &[("Cookie", &cookie)], &no)), "error"),
        "access_denied"
    );

    // A code is good once, for its own client, address and verifier.
    let code = || agreed(&usher, &client, "jack", &[], "chat");
    let stranger = register(chat);
    for change in [
        ("code_verifier", "A".repeat(43)),
        ("code_verifier", "short".to_owned()),
        ("client_id", stranger),
        ("redirect_uri", "http://127.0.0.1:1/callback".to_owned()),
        ("code", "made-up".to_owned()),
    ] {
        let code = code();
        let refused = redeemed(&usher, &client, &code, &[(change.0, &change.1)]);
        assert_eq!((refused.status, text(&refused.json(), "error")), (400, "invalid_grant"), "{change:?}");
        if change.0 != "code" {
            assert_eq!(redeemed(&usher, &client, &code, &[]).status, 400, "the try used the code up");
        }
    }
    let code = code();
    let granted = redeemed(&usher, &client, &code, &[]).json();
    assert_eq!(tools(&usher, text(&granted, "access_token")), Ok(14));
    assert_eq!(redeemed(&usher, &client, &code, &[]).status, 400);
    assert_eq!(
        tools(&usher, text(&granted, "access_token")),
        Err(401),
        "a code that came twice ends what was made of it"
    );
    let basic = form(
        chat,
        "/oauth/token",
        &[("Authorization", "Basic YTpi")],
        &[("grant_type", "authorization_code")],
    );
    assert_eq!((basic.status, text(&basic.json(), "error")), (401, "invalid_client"));
}

#[test]
fn without_the_setting_there_is_none_of_it() {
    let usher = Usher::start(&[]);
    for path in [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/oauth/authorize",
    ] {
        assert_eq!(request(usher.address("chat"), "GET", path, &[], b"").status, 404, "{path}");
    }
}
