//! `/etc/resolv.conf` and `/etc/hosts`, as far as names of upstream nodes go by them (resolv.conf(5), hosts(5)).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Servers that are asked.
const MOST_SERVERS: usize = 8;
/// Domains that are tried.
const MOST_SEARCH: usize = 16;

/// What `resolv.conf` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Conf {
    pub(super) servers: Vec<SocketAddr>,
    /// Domains that short names are tried in.
    pub(super) search: Vec<String>,
    /// Names with so many dots are asked for as they are first; 1 unless said.
    dots: usize,
}

impl Conf {
    /// Reads a file; one that isn't there says nothing.
    pub(super) fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut conf = Self { dots: 1, ..Self::default() };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| word.split('%').next()?.parse::<IpAddr>().ok());
                    if let Some(server) = server.filter(|_| conf.servers.len() < MOST_SERVERS) {
                        conf.servers.push(SocketAddr::new(server, 53));
                    }
                }
                // The last of them counts.
                Some("search" | "domain") => {
                    conf.search =
                        words.take(MOST_SEARCH).map(|word| word.trim_matches('.').to_owned()).collect();
                }
                Some("options") => {
                    let dots = words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok()).next_back();
                    conf.dots = dots.unwrap_or(conf.dots).min(15);
                }
                _ => {}
            }
        }
        conf.search.retain(|domain| !domain.is_empty());
        conf
    }

    /// The names under which a host is asked for, in order.
    pub(super) fn names(&self, host: &str) -> Vec<String> {
        if let Some(whole) = host.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let longer = self.search.iter().map(|domain| format!("{host}.{domain}"));
        let dots = host.matches('.').count();
        if dots >= self.dots {
            std::iter::once(host.to_owned()).chain(longer).collect()
        } else {
            longer.chain([host.to_owned()]).collect()
        }
    }
}

/// What `hosts` says; read again when the file changes.
pub(super) struct Hosts {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    changed: Option<SystemTime>,
    names: HashMap<String, Vec<IpAddr>>,
}

impl Hosts {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, known: Mutex::default() }
    }

    /// The addresses of a host, those of IPv4 where it has some. `localhost` is loopback, whatever the file says (RFC 6761).
    pub(super) fn find(&self, host: &str, ipv6: bool) -> Vec<IpAddr> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let changed = std::fs::metadata(&self.path).and_then(|about| about.modified()).ok();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if changed.is_some() && known.changed != changed {
            let text = std::fs::read_to_string(&self.path).unwrap_or_default();
            *known = Known { changed, names: parse(&text) };
        }
        let mut found = known.names.get(&host).cloned().unwrap_or_default();
        if found.is_empty() && (host == "localhost" || host.ends_with(".localhost")) {
            found.push(IpAddr::from([127, 0, 0, 1]));
        }
        let has_four = found.iter().any(IpAddr::is_ipv4);
        found.retain(|ip| if has_four { ip.is_ipv4() } else { ipv6 });
        found
    }
}

fn parse(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        for name in words {
            names.entry(name.to_ascii_lowercase()).or_default().push(ip.to_canonical());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{Conf, Hosts};

    #[test]
    fn resolv_conf_is_read_as_its_manual_says() {
        let conf = Conf::parse(
            "# made by hand\nnameserver 10.0.0.2\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver x\nsearch a.test b.test.\n\
             options timeout:1 ndots:2\n;domain c.test\n",
        );
        assert_eq!(
            conf.servers,
            ["10.0.0.2:53", "[::1]:53", "[fe80::1]:53"].map(|text| text.parse().unwrap())
        );
        assert_eq!(conf.names("db"), ["db.a.test", "db.b.test", "db"]);
        assert_eq!(conf.names("db.x"), ["db.x.a.test", "db.x.b.test", "db.x"]);
        assert_eq!(conf.names("db.x.y"), ["db.x.y", "db.x.y.a.test", "db.x.y.b.test"]);
        assert_eq!(conf.names("db."), ["db"]);
        assert_eq!(Conf::parse("").names("db"), ["db"]);
    }

    #[test]
    fn hosts_is_read_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        std::fs::write(&path, "10.0.0.1 a.test A2.test # b.test\n::1 a.test six.test\nnonsense c.test\n")
            .unwrap();
        let hosts = Hosts::new(path.clone());
        let find = |name: &str| hosts.find(name, true).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(find("a.test"), ["10.0.0.1"], "IPv4 comes first");
        assert_eq!(
            (find("a2.TEST."), find("six.test")),
            (vec!["10.0.0.1".to_owned()], vec!["::1".to_owned()])
        );
        assert_eq!(hosts.find("six.test", false), [] as [std::net::IpAddr; 0]);
        assert_eq!((find("b.test").len(), find("c.test").len()), (0, 0));
        assert_eq!(find("localhost"), ["127.0.0.1"]);
        std::fs::write(&path, "10.0.0.2 a.test\n").unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_eq!(find("a.test"), ["10.0.0.2"]);
    }
}
