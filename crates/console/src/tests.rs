//! The console as a browser meets it: its headers, its caching, and how much it loads first.
#![cfg(test)]

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt as _;

use crate::files::{Asked, Files};
use crate::router;

/// What the first load of the overview may weigh, compressed, in bytes.
const FIRST_LOAD: usize = 350 << 10;
/// What all built files may weigh, in bytes.
const ALL: usize = 3 << 20;

struct Seen {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

async fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> Seen {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 16 << 20).await.unwrap().to_vec();
    Seen { status: head.status, headers: head.headers, body }
}

/// The files that a page names.
fn named(page: &str) -> Vec<String> {
    let parts = page.split(['"', '\'']).filter_map(|part| part.strip_prefix("/ui/"));
    parts.filter(|name| name.starts_with("assets/")).map(str::to_owned).collect()
}

/// The files that a script needs before it can run; not those that it loads later.
fn needed(script: &str) -> Vec<String> {
    let after = ["from\"./", "from'./", "import\"./", "import'./", "from `./", "from`./", "import`./"];
    let names = after.iter().flat_map(|mark| script.split(mark).skip(1));
    names
        .filter_map(|rest| rest.split(['"', '\'', '`']).next())
        .map(|name| format!("assets/{name}"))
        .collect()
}

/// A page's files with all that they need, each once.
fn with_all_needed(files: &Files, first: Vec<String>) -> Vec<String> {
    let (mut waiting, mut found) = (first, Vec::new());
    while let Some(name) = waiting.pop() {
        if found.contains(&name) {
            continue;
        }
        if let Asked::File(file) = files.find(&name)
            && name.ends_with(".js")
        {
            waiting.extend(needed(std::str::from_utf8(file.bytes()).unwrap()));
        }
        found.push(name);
    }
    found
}

#[tokio::test]
async fn every_place_is_the_page_and_every_page_has_a_nonce_of_its_own() {
    let first = ask("GET", "/ui/", &[]).await;
    assert_eq!((first.status, first.header("cache-control")), (StatusCode::OK, "no-store"));
    let policy = first.header("content-security-policy").to_owned();
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(nonce.len() >= 24 && first.text().contains(nonce) && !first.text().contains("__NONCE__"));
    for part in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{part} is missing in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    for path in ["/ui/routes", "/ui/objects/routes/a.b.c", "/ui/approve/0123456789", "/ui/index.html"] {
        let seen = ask("GET", path, &[]).await;
        assert_eq!(seen.status, StatusCode::OK, "{path}");
        assert_ne!(seen.header("content-security-policy"), policy, "{path} has the nonce of another page");
        assert_eq!(
            (seen.header("x-frame-options"), seen.header("x-content-type-options")),
            ("DENY", "nosniff")
        );
    }
    let moved = ask("GET", "/ui", &[]).await;
    assert_eq!((moved.status, moved.header("location")), (StatusCode::MOVED_PERMANENTLY, "/ui/"));
    for path in ["/ui/assets/none.js", "/ui/none.js", "/ui/assets/", "/ui/assets/../index.html"] {
        assert_eq!(ask("GET", path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(ask("POST", "/ui/", &[]).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let head = ask("HEAD", "/ui/", &[]).await;
    assert!(head.status == StatusCode::OK && head.body.is_empty());
}

#[tokio::test]
async fn files_are_kept_for_ever_and_compressed() {
    let page = ask("GET", "/ui/", &[]).await.text();
    let script = named(&page).into_iter().find(|name| name.ends_with(".js")).unwrap();
    let path = format!("/ui/{script}");
    let plain = ask("GET", &path, &[]).await;
    assert_eq!(plain.header("content-type"), "text/javascript; charset=utf-8");
    assert!(
        plain.header("cache-control").contains("immutable") && plain.header("content-encoding").is_empty()
    );
    let packed = ask("GET", &path, &[("accept-encoding", "br, gzip;q=0.8")]).await;
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), ("gzip", "accept-encoding"));
    assert!(packed.body.len() < plain.body.len());
    assert!(
        ask("GET", &path, &[("accept-encoding", "gzip;q=0")]).await.header("content-encoding").is_empty()
    );
    let tag = plain.header("etag").to_owned();
    let again = ask("GET", &path, &[("if-none-match", &tag)]).await;
    assert!(again.status == StatusCode::NOT_MODIFIED && again.body.is_empty());
    assert!(plain.header("content-security-policy").starts_with("default-src 'none'"));
}

#[tokio::test]
async fn the_first_load_is_small_and_names_no_other_origin() {
    let page = ask("GET", "/ui/", &[]).await.text();
    let names = named(&page);
    assert!(names.len() >= 2, "the page names its script and its style: {page}");
    let files = Files::embedded();
    let overview = files.all().map(|(name, _)| name).filter(|name| name.starts_with("assets/Overview"));
    let first = names.into_iter().chain(overview.map(str::to_owned)).collect();
    let mut weight = page.len();
    for name in with_all_needed(&files, first) {
        let Asked::File(file) = files.find(&name) else { panic!("{name} is named and isn't there") };
        weight += file.compressed().map_or(file.bytes().len(), <[u8]>::len);
    }
    println!("the first load of the overview weighs {weight} bytes");
    assert!(weight <= FIRST_LOAD, "the first load weighs {weight} bytes, and may weigh {FIRST_LOAD}");
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script>"));
    let all: usize = files.all().map(|(_, bytes)| bytes.len()).sum();
    assert!(all <= ALL, "all files weigh {all} bytes, and may weigh {ALL}");
    for (name, _) in files.all() {
        assert!(!name.ends_with(".map"), "{name} is no file for users");
    }
}
