//! A file as the store: taken over whole, watched, and never worse than its last good version.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use usher_model::document::Format;
use usher_store::file::{File, Options};
use usher_store::{Store, StoreError, Transaction};

const ONE: &str = "routes:\n  - id: 1\n    uri: /one\n    plugins: {}\n#END\n";
const TWO: &str =
    "routes:\n  - id: 1\n    uri: /two\n    plugins: {}\n  - id: 2\n    uri: /x\n    plugins: {}\n#END\n";
const BAD: &str = "routes:\n  - id: 1\n    uri: 7\n    plugins: {}\n#END\n";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("apisix.yaml")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    fn options(&self) -> Options {
        let keep = self.folder.path().join("kept");
        std::fs::create_dir_all(&keep).unwrap();
        Options { apisix_only: true, keep: Some(keep), ..Options::new(self.path()) }
    }
}

async fn uris(store: &File) -> Vec<String> {
    let listing = store.list("/apisix/routes/").await.unwrap();
    let uri = |bytes: &[u8]| {
        serde_json::from_slice::<serde_json::Value>(bytes).unwrap()["uri"].as_str().unwrap().to_owned()
    };
    listing.entries.iter().map(|entry| uri(&entry.value)).collect()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < end, "{what} did not come true");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_change_of_the_file_comes_as_one_batch() {
    let place = Place::new();
    place.write(ONE);
    let store = File::open(place.options()).unwrap();
    assert_eq!(uris(&store).await, ["/one"]);
    let mut watch = store.watch("/apisix/", store.revision() + 1);
    let began = Instant::now();
    place.write(TWO);
    let batch = watch.next().await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert_eq!(batch.events.len(), 2);
    assert_eq!(uris(&store).await, ["/two", "/x"]);
    // Another order and other blanks are no change; what is gone from the file is gone.
    place.write("routes:\n  - {plugins: {}, uri: /two, id: 1}\n#END\n");
    let batch = watch.next().await.unwrap();
    assert_eq!(batch.events.len(), 1);
    assert_eq!((&*batch.events[0].key, batch.events[0].after.is_none()), ("/apisix/routes/2", true));
    assert_eq!(store.health().away, None);
}

#[tokio::test]
async fn a_bad_file_keeps_the_last_good_version_and_says_what_is_wrong() {
    let place = Place::new();
    place.write(ONE);
    let store = File::open(place.options()).unwrap();
    let revision = store.revision();
    for (text, said) in [
        (BAD, "line 3: route 1: uri: wrong type"),
        ("routes: [\n#END\n", "line "),
        ("routes:\n  - id: 1\n    uri: /half", "its last line has to be #END"),
        ("rutes: []\n#END\n", "did you mean routes?"),
    ] {
        place.write(text);
        until(said, async || store.health().away.is_some_and(|away| away.contains(said))).await;
        assert!(store.health().away_since_unix_ms.is_some());
        assert_eq!((uris(&store).await, store.revision()), (vec!["/one".to_owned()], revision));
    }
    std::fs::remove_file(place.path()).unwrap();
    until("its loss", async || store.health().away.is_some_and(|away| away.contains("can't be read"))).await;
    place.write(TWO);
    until("the good file", async || store.health().away.is_none()).await;
    assert_eq!(uris(&store).await, ["/two", "/x"]);
}

#[tokio::test]
async fn a_start_with_a_bad_file_is_refused_unless_a_good_copy_lies_there() {
    let place = Place::new();
    let missing = File::open(place.options()).map(drop).unwrap_err();
    assert!(missing.to_string().contains("apisix.yaml: can't be read"), "{missing}");
    place.write(BAD);
    let refused = File::open(place.options()).map(drop).unwrap_err();
    assert!(refused.to_string().contains("apisix.yaml: line 3: route 1: uri: "), "{refused}");
    place.write(ONE);
    drop(File::open(place.options()).unwrap());
    place.write(BAD);
    let store = File::open(place.options()).unwrap();
    assert_eq!(uris(&store).await, ["/one"]);
    assert!(store.health().away.is_some_and(|away| away.contains("line 3")));
    // Another file's copy is never taken for it.
    let other = Options { path: place.folder.path().join("other.yaml"), ..place.options() };
    assert!(File::open(other).is_err());
    place.write(TWO);
    until("the good file", async || store.health().away.is_none()).await;
}

#[tokio::test]
async fn the_file_is_never_written_and_own_keys_live_beside_it() {
    let place = Place::new();
    place.write(ONE);
    let store = File::open(place.options()).unwrap();
    assert!(!store.capabilities().writable && store.describe().kind == "file");
    let refused =
        store.commit(Transaction::default().put("/apisix/routes/9", "{}").put("/usher/x", "1")).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    store.commit(Transaction::default().put("/usher/x", "1")).await.unwrap();
    place.write(TWO);
    until("the new file", async || uris(&store).await.len() == 2).await;
    assert_eq!(store.get("/usher/x").await.unwrap().unwrap().value, "1");
    assert_eq!(std::fs::read_to_string(place.path()).unwrap(), TWO);
}

#[tokio::test]
async fn our_own_form_is_taken_once_it_stays_as_it_is() {
    let place = Place::new();
    place.write("usher: 1\nroutes:\n  a: {uri: /one, plugins: {}}\n");
    let options = Options { apisix_only: false, ..place.options() };
    let store = File::open(options).unwrap();
    assert_eq!(uris(&store).await, ["/one"]);
    place.write("usher: 1\nroutes:\n  a: {uri: /two, plugins: {}}\n");
    until("the new file", async || uris(&store).await == ["/two"]).await;
    let json = place.folder.path().join("apisix.json");
    std::fs::write(&json, r#"{"routes": [{"id": "j", "uri": "/json", "plugins": {}}]}"#).unwrap();
    assert_eq!(Format::of(Path::new("a.JSON")), Format::Json);
    let store = File::open(Options { apisix_only: true, ..Options::new(json) }).unwrap();
    assert_eq!(uris(&store).await, ["/json"]);
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_at_once() {
    let place = Place::new();
    let made = std::process::Command::new("mkfifo").arg(place.path()).status().unwrap();
    assert!(made.success());
    // Whoever opened a FIFO would wait for its writer for ever.
    let options = place.options();
    let opened = tokio::task::spawn_blocking(move || File::open(options).map(drop));
    let refused = tokio::time::timeout(Duration::from_secs(10), opened).await.unwrap().unwrap();
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("it is no regular file"), "{said}");
    // One that takes the place of a good file later changes nothing.
    std::fs::remove_file(place.path()).unwrap();
    place.write(ONE);
    let store = File::open(place.options()).unwrap();
    std::fs::remove_file(place.path()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(place.path()).status().unwrap().success());
    until("the trouble is told", async || store.health().away.is_some()).await;
    assert_eq!(uris(&store).await, ["/one"]);
}
