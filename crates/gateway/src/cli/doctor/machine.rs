//! This machine: the data folder and its files, the ports, the limit of open files, the clock and the disk.

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};

use super::Finding;
use super::server::Running;
use crate::server::ports::holder;
use crate::settings::Settings;

/// Open files below which connections may run out.
const FEW_FILES: u64 = 65_536;
/// Free space below which the store may run full, in bytes.
const LITTLE_SPACE: u64 = 1 << 30;
const NO_SPACE: u64 = 64 << 20;
/// 2026-01-01, in seconds since 1970: no clock that is set shows an earlier day.
const THIS_PROGRAM_IS_FROM: u64 = 1_767_225_600;

/// How long a port may take to take a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// Looks. Of an Usher that runs here its own ports are looked at, else those that it would listen on by these settings.
pub(super) fn look(settings: &Settings, running: &Running, findings: &mut Vec<Finding>) {
    folder(&settings.data, findings);
    if let Running::Here(ports) = running {
        findings.extend(ports.iter().map(|(side, address)| answers(side, *address)));
    } else {
        let sides = [
            ("gateway", "--proxy-listen", &settings.proxy),
            ("gateway with TLS", "--tls-listen", &settings.tls.listen),
            ("Admin API", "--admin-listen", &settings.admin),
            ("chat side", "--chat-listen", &settings.chat),
            ("metrics", "--metrics-listen", &settings.metrics),
            ("Control API", "--control-listen", &settings.control),
            ("status API", "--status-listen", &settings.status),
            ("other gateways", "listen.gateways", &settings.gateways),
        ];
        let running = *running == Running::Somewhere;
        for (side, option, addresses) in sides {
            findings.extend(addresses.iter().map(|address| port(side, option, *address, running)));
        }
    }
    findings.push(files(getrlimit(Resource::Nofile).current));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if now < THIS_PROGRAM_IS_FROM {
        findings.push(Finding::fail(
            "clock",
            "shows a day before this program was made",
            "set it, or let NTP set it",
        ));
    }
    disk(&settings.data, findings);
}

fn folder(data: &Path, findings: &mut Vec<Finding>) {
    let name = data.display();
    let Ok(about) = fs::metadata(data) else {
        findings
            .push(Finding::ok("data folder", format!("{name} is not there yet; the first start makes it")));
        return;
    };
    let mode = about.permissions().mode() & 0o777;
    findings.push(if !about.is_dir() {
        Finding::fail("data folder", format!("{name} is no folder"), "name another with --data")
    } else if mode & 0o022 != 0 {
        Finding::fail(
            "data folder",
            format!("{name} may be written by others (mode {mode:o})"),
            format!("chmod 700 {name}"),
        )
    } else if mode & 0o055 != 0 {
        Finding::warn(
            "data folder",
            format!("{name} may be read by others (mode {mode:o})"),
            format!("chmod 700 {name}"),
        )
    } else {
        Finding::ok("data folder", format!("{name} is its owner's alone"))
    });
    for file in ["admin.key", "keyring.key"] {
        findings.extend(key_file(&data.join(file)));
    }
    let (store, keyring) = (data.join("usher.redb"), data.join("keyring.key"));
    if store.exists() && !keyring.exists() {
        let found = format!("{} is missing beside a store", keyring.display());
        findings.push(Finding::fail(
            "keyring",
            found,
            "put a copy of it back: only it can open the store's secrets",
        ));
    }
}

/// A file that only its owner may read.
fn key_file(path: &Path) -> Option<Finding> {
    let name = path.display();
    let about = fs::metadata(path).ok()?;
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let next = format!("chmod 600 {name}");
        return Some(Finding::fail("key", format!("{name} may be read by others (mode {mode:o})"), next));
    }
    Some(match fs::File::open(path) {
        Ok(_) => Finding::ok("key", format!("{name} is readable, by its owner alone")),
        Err(error) => Finding::fail(
            "key",
            format!("{name} can't be read: {error}"),
            "run this as the user that Usher runs as",
        ),
    })
}

/// Whether a running Usher's port takes connections.
fn answers(side: &str, address: SocketAddr) -> Finding {
    let what = format!("port of the {side}");
    // What listens on every address is asked on this machine's own.
    let asked = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    };
    match TcpStream::connect_timeout(&asked, CONNECT_WITHIN) {
        Ok(_) => Finding::ok(what, format!("{address} takes connections")),
        Err(error) => Finding::fail(
            what,
            format!("{address} takes no connection: {error}"),
            "look at the log of the running Usher, and at the limit of open files",
        ),
    }
}

fn port(side: &str, option: &str, address: SocketAddr, running: bool) -> Finding {
    let what = format!("port of the {side}");
    if address.port() == 0 {
        return Finding::ok(what, format!("any free one of {}", address.ip()));
    }
    match TcpListener::bind(address) {
        Ok(_) if running => Finding::warn(
            what,
            format!("{address} is free, though an Usher runs"),
            "it listens elsewhere, or is another one",
        ),
        Ok(_) => Finding::ok(what, format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let found = format!("{address} is taken: {}", holder(address.port()));
            if running {
                Finding::ok(what, found)
            } else {
                Finding::fail(what, found, format!("stop it, or choose another port with {option}"))
            }
        }
        Err(error) => Finding::fail(
            what,
            format!("{address} can't be listened on: {error}"),
            format!("choose another with {option}"),
        ),
    }
}

fn files(limit: Option<u64>) -> Finding {
    match limit {
        None => Finding::ok("open files", "without a limit"),
        Some(limit) if limit >= FEW_FILES => Finding::ok("open files", format!("up to {limit}")),
        Some(limit) => Finding::warn(
            "open files",
            format!("at most {limit}; each connection takes one, or two with its upstream's"),
            format!("raise it to {FEW_FILES} or more: ulimit -n, or LimitNOFILE= of systemd"),
        ),
    }
}

fn disk(data: &Path, findings: &mut Vec<Finding>) {
    // Before the first start, the folder that it will be made in is looked at.
    let place =
        data.ancestors().map(|place| if place.as_os_str().is_empty() { Path::new(".") } else { place });
    let Some(place) = place.into_iter().find(|place| place.exists()) else { return };
    let Ok(about) = rustix::fs::statvfs(place) else { return };
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let found = format!("{} MiB are free at {}", free >> 20, place.display());
    findings.push(if free < NO_SPACE {
        Finding::fail("disk", found, "free some space: writes are refused at a full disk, traffic goes on")
    } else if free < LITTLE_SPACE {
        Finding::warn("disk", found, "free some space before the store needs it")
    } else {
        Finding::ok("disk", found)
    });
}

#[cfg(test)]
mod tests {
    use super::super::Mark;
    use super::{files, folder, key_file, port};

    #[test]
    fn limits_and_ports_are_judged() {
        assert_eq!(files(Some(1024)).mark, Mark::Warn);
        assert_eq!(files(Some(1 << 20)).mark, Mark::Ok);
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let found = port("chat side", "--chat-listen", address, false);
        assert_eq!(found.mark, Mark::Fail);
        assert!(found.found.contains(&format!("process {}", std::process::id())), "{found:?}");
        assert_eq!(port("chat side", "--chat-listen", address, true).mark, Mark::Ok);
        drop(taken);
        assert_eq!(port("chat side", "--chat-listen", address, false).mark, Mark::Ok);
    }

    #[test]
    fn a_folder_that_others_may_write_is_not_well() {
        use std::os::unix::fs::PermissionsExt as _;
        let data = tempfile::tempdir().unwrap();
        let judged = |mode: u32| {
            std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let mut findings = Vec::new();
            folder(data.path(), &mut findings);
            findings[0].mark
        };
        assert_eq!((judged(0o700), judged(0o755), judged(0o777)), (Mark::Ok, Mark::Warn, Mark::Fail));
        let key = data.path().join("admin.key");
        std::fs::write(&key, "x").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(key_file(&key).unwrap().mark, Mark::Fail);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(key_file(&key).unwrap().mark, Mark::Ok);
        assert!(key_file(&data.path().join("none")).is_none());
    }
}
