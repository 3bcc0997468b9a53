//! One probe of one node: a connection, TLS, a GET, and the status line of its answer; each step has the time of the settings.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use usher_model::resource::{ActiveChecks, CheckKind, Node};

use super::Prober;
use crate::config::{Checked, Sign, forbidden};

/// A status line is no longer than this.
const MOST_LINE: usize = 8 << 10;

/// One probe.
pub(super) struct Probe<'a> {
    pub(super) prober: &'a Prober,
    pub(super) checked: &'a Checked,
    pub(super) node: &'a Node,
    /// Where the node serves; probes may go elsewhere.
    pub(super) port: u16,
}

impl Probe<'_> {
    /// What it shows, and where it went. A status that neither speaks for nor against the node shows nothing.
    pub(super) async fn run(&self) -> (Option<Sign>, Option<IpAddr>) {
        let active = &self.checked.checks.active;
        let ip = match self.address(active.timeout).await {
            Ok(ip) => ip,
            Err(sign) => return (Some(sign), None),
        };
        let address = SocketAddr::new(ip, active.port.unwrap_or(self.port));
        if forbidden(address, &self.prober.own).is_some() {
            // What requests don't get to isn't probed either, and it serves nobody.
            return (Some(Sign::Tcp), Some(ip));
        }
        let sign = self.ask(address).await.unwrap_or_else(|sign| sign);
        (sign, Some(ip))
    }

    async fn address(&self, within: Duration) -> Result<IpAddr, Sign> {
        if let Ok(ip) = self.node.host.parse() {
            return Ok(ip);
        }
        let name = self.prober.resolver.name(&self.node.host);
        match timeout(within, name.addresses(Instant::now())).await {
            Ok(Ok(found)) => found.first().copied().ok_or(Sign::Tcp),
            Ok(Err(_)) => Err(Sign::Tcp),
            Err(_) => Err(Sign::Timeout),
        }
    }

    async fn ask(&self, address: SocketAddr) -> Result<Option<Sign>, Option<Sign>> {
        let active = &self.checked.checks.active;
        let within = active.timeout;
        let stream = step(within, TcpStream::connect(address)).await?;
        match (active.kind, &self.checked.tls) {
            (CheckKind::Tcp, _) => Ok(Some(Sign::Good)),
            (CheckKind::Https, Some(tls)) => {
                let name = ServerName::try_from(self.host())
                    .or_else(|_| ServerName::try_from(self.node.host.clone()));
                let name = name.map_err(|_| Some(Sign::Tcp))?;
                let connector = TlsConnector::from(std::sync::Arc::clone(tls));
                let stream = step(within, connector.connect(name, stream)).await?;
                self.speak(stream).await
            }
            _ => self.speak(stream).await,
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
    ) -> Result<Option<Sign>, Option<Sign>> {
        let active = &self.checked.checks.active;
        let request = request(active, &self.host());
        step(active.timeout, stream.write_all(request.as_bytes())).await?;
        step(active.timeout, stream.flush()).await?;
        let line = step(active.timeout, status_line(&mut stream)).await?;
        Ok(match status_of(&line) {
            Some(status) => Sign::of_status(status, &active.bounds),
            None => Some(Sign::Http),
        })
    }

    /// The `Host` of the probe (data plane contract, section 6.5).
    fn host(&self) -> String {
        let is_name = self.node.host.parse::<IpAddr>().is_err();
        let host = match (&self.checked.host, &self.checked.checks.active.host) {
            (Some(rewritten), _) => rewritten,
            (None, _) if is_name => &self.node.host,
            (None, Some(host)) => host,
            (None, None) => &self.node.host,
        };
        if host.contains(':') && host.parse::<IpAddr>().is_ok() { format!("[{host}]") } else { host.clone() }
    }
}

/// One step in its time. A failure is a sign of its own.
async fn step<T>(within: Duration, step: impl Future<Output = io::Result<T>>) -> Result<T, Option<Sign>> {
    match timeout(within, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(Some(Sign::Tcp)),
        Err(_) => Err(Some(Sign::Timeout)),
    }
}

fn request(active: &ActiveChecks, host: &str) -> String {
    let mut request = format!("GET {} HTTP/1.1\r\nConnection: close\r\n", visible(&active.http_path, "%20"));
    let names_host = active.req_headers.iter().any(|line| line.to_ascii_lowercase().starts_with("host:"));
    for line in &active.req_headers {
        // One line each, whatever is written.
        request.push_str(&line.replace(['\r', '\n'], " "));
        request.push_str("\r\n");
    }
    if !names_host {
        request.push_str(&format!("Host: {}\r\n", visible(host, "")));
    }
    request.push_str("\r\n");
    request
}

/// A text without blanks and control characters.
fn visible(text: &str, blank: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_ascii_graphic() { letter.to_string() } else { blank.to_owned() })
        .collect()
}

async fn status_line<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(256);
    loop {
        if let Some(end) = memchr::memchr(b'\n', &line) {
            line.truncate(end);
            return Ok(line);
        }
        if line.len() > MOST_LINE {
            // No status line, and nothing worth reading on for.
            return Ok(Vec::new());
        }
        if stream.read_buf(&mut line).await? == 0 {
            if line.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            return Ok(line);
        }
    }
}

/// The status of `HTTP/1.1 200 OK`.
fn status_of(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?;
    let (version, rest) = line.strip_prefix("HTTP/")?.split_once(' ')?;
    let (major, minor) = version.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(major) || !is_number(minor) {
        return None;
    }
    let status = rest.trim_start();
    let end = status.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(status.len());
    status.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_model::resource::Upstream;

    use super::{request, status_of};

    #[test]
    fn status_lines_are_read_as_the_library_reads_them() {
        for (line, wanted) in [
            ("HTTP/1.1 200 OK\r", Some(200)),
            ("HTTP/1.0 503", Some(503)),
            ("HTTP/2.0  404 x", Some(404)),
            ("HTTP/1.1 abc", None),
            ("SSH-2.0-OpenSSH", None),
            ("", None),
            ("HTTP/x.1 200", None),
            ("HTTP/1.1 99999999", None),
        ] {
            assert_eq!(status_of(line.as_bytes()), wanted, "{line}");
        }
    }

    #[test]
    fn a_probe_is_one_request_whatever_is_written() {
        let upstream = json!({ "nodes": {}, "checks": { "active": {
            "http_path": "/a b\r\nX: y", "req_headers": ["User-Agent: x\r\nEvil: 1", "hOST: mine"],
        } } });
        let checks = Upstream::from_value(&upstream).unwrap().checks.unwrap();
        assert_eq!(
            request(&checks.active, "h"),
            "GET /a%20b%20%20X:%20y HTTP/1.1\r\nConnection: close\r\nUser-Agent: x  Evil: 1\r\nhOST: mine\r\n\r\n"
        );
    }
}
