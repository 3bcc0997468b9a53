//! What clients see of `ldap-auth`, with Debian's slapd and with a directory that misbehaves.
#![cfg(test)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use usher_pipeline::harness::{Clock, Harness, harness, try_harness};

use super::PLUGIN;

/// A directory of its own; gone when dropped.
struct Slapd {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Drop for Slapd {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const ENTRIES: &str = "dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=users,dc=example,dc=org
objectClass: organizationalUnit
ou: users

dn: cn=jack,ou=users,dc=example,dc=org
objectClass: person
cn: jack
sn: jack
userPassword: jacks-password

dn: cn=root,dc=example,dc=org
objectClass: person
cn: root
sn: root
userPassword: roots-password
";

impl Slapd {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("usher-slapd-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("data")).unwrap();
        let config = folder.join("slapd.conf");
        let lines = format!(
            "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {0}/pid\ndatabase mdb\nsuffix \"dc=example,dc=org\"\ndirectory {0}/data\naccess to attrs=userPassword by anonymous auth by * none\naccess to * by * read\n",
            folder.display()
        );
        std::fs::write(&config, lines).unwrap();
        let entries = folder.join("entries.ldif");
        std::fs::write(&entries, ENTRIES).unwrap();
        let added =
            Command::new("/usr/sbin/slapadd").args(["-f", text(&config), "-l", text(&entries)]).output();
        let added = added.expect("slapd, which `cargo xtask` installs");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("/usr/sbin/slapd")
            .args(["-f", text(&config), "-h", &format!("ldap://{address}"), "-d", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "slapd does not listen");
            std::thread::yield_now();
        }
        Self { child, folder, address }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn bench(address: SocketAddr, more: &Value) -> Harness {
    let mut body = json!({ "base_dn": "ou=users,dc=example,dc=org", "ldap_uri": address.to_string() });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut bench = harness(&PLUGIN, body).on_runtime(Clock::Real);
    for (name, dn) in [("jack", "cn=jack,ou=users,dc=example,dc=org"), ("root", "cn=root,dc=example,dc=org")]
    {
        bench = bench.consumer(name, "ldap-auth", &json!({ "user_dn": dn }), Map::new());
    }
    bench
}

fn ask(bench: &mut Harness, login: &str) -> usher_pipeline::harness::Outcome {
    let field = format!("Basic {}", STANDARD.encode(login));
    bench.send("GET", "/", &[("Authorization", &field)], "")
}

#[test]
fn a_directory_knows_its_users_and_nobody_else() {
    let slapd = Slapd::start();
    let mut bench = bench(slapd.address, &json!({}));
    for (login, wanted) in [
        ("jack:jacks-password", 200),
        ("jack:wrong", 401),
        ("jack:", 401),
        ("nobody:jacks-password", 401),
        (":", 401),
        ("root:roots-password", 401),
        ("root,dc=example,dc=org:roots-password", 401),
        ("jack,ou=users:jacks-password", 401),
        ("*:jacks-password", 401),
        ("jack\0:jacks-password", 401),
    ] {
        let outcome = ask(&mut bench, login);
        assert_eq!(outcome.status(), wanted, "{login:?}");
        if wanted == 200 {
            assert_eq!(outcome.seen().head.get_str("X-Consumer-Username"), Some("jack"));
        }
    }
    let outcome = bench.get("/");
    assert_eq!(outcome.text(), "{\"message\":\"Missing authorization in request\"}\n");
    assert_eq!(outcome.field("www-authenticate"), Some("Basic realm=\"ldap\""));
    let outcome = ask(&mut bench, "jack:wrong");
    assert_eq!(outcome.text(), "{\"message\":\"Invalid user authorization\"}\n");
    let address = slapd.address;
    drop(slapd);
    ask(&mut self::bench(address, &json!({})), "jack:jacks-password").expect_status(401);
}

#[test]
fn a_directory_that_talks_nonsense_lets_nobody_in() {
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 512];
            let read = stream.read(&mut asked).unwrap();
            assert!(asked[..read].windows(4).any(|four| four == b"jack"));
            stream.write_all(answer).unwrap();
        });
        ask(&mut bench(address, &json!({})), "jack:x").expect_status(401);
        serving.join().unwrap();
    }
}

#[test]
fn bodies_that_can_not_work_or_are_not_safe_are_refused_by_name() {
    for (more, wanted) in [
        (json!({ "ldap_uri": "ldap.test:389" }), "property \"use_tls\" is required"),
        (json!({ "ldap_uri": "10.0.0.1" }), "property \"use_tls\" is required"),
        (json!({ "ldap_uri": "" }), "property \"ldap_uri\""),
        (json!({ "ldap_uri": "user@a:389", "use_tls": true }), "property \"ldap_uri\""),
        (json!({ "uid": "cn=a,ou" }), "property \"uid\""),
        (json!({ "realm": "a\nb" }), "property \"realm\""),
        (json!({ "base_dn": 1 }), "property \"base_dn\""),
    ] {
        let mut body = json!({ "base_dn": "dc=a", "ldap_uri": "127.0.0.1:389" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = try_harness(&PLUGIN, body).err().map(|error| error.message).unwrap_or_default();
        assert!(error.contains(wanted), "{more}: {error}");
    }
    for uri in ["ldaps://ldap.test", "localhost", "ldap://[::1]:1389/"] {
        assert!(try_harness(&PLUGIN, json!({ "base_dn": "dc=a", "ldap_uri": uri })).is_ok(), "{uri}");
    }
    let clear = json!({ "base_dn": "dc=a", "ldap_uri": "ldap.test:389", "use_tls": false });
    assert!(try_harness(&PLUGIN, clear).is_ok());
}
