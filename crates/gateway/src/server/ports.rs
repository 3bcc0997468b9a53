//! Binds the ports of the admin side, and says of a taken port who may hold it and which option changes it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context as _;
use usher_proxy::StartError;
use usher_proxy::handed::{Inherited, Transport};

use crate::settings::Settings;

/// Sockets that listen, but don't answer yet.
pub(super) struct Sockets {
    pub(super) listeners: Vec<Listening>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Listening {
    /// Whose it is.
    pub(super) side: &'static str,
    /// The address as it was asked for.
    pub(super) asked: SocketAddr,
    pub(super) listener: TcpListener,
}

impl Sockets {
    /// Where they listen; the real ports where 0 was asked for.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|one| one.listener.local_addr().ok()).collect()
    }
}

/// Binds all addresses of one side, or goes on with the sockets of the process before.
pub(super) fn bind(
    side: &'static str,
    option: &str,
    addresses: &[SocketAddr],
    inherited: &Inherited,
) -> anyhow::Result<Sockets> {
    let listeners = addresses
        .iter()
        .map(|asked| {
            let listener = match inherited.take(side, Transport::Tcp, *asked).into_iter().next() {
                Some(socket) => socket.into(),
                None => TcpListener::bind(asked).map_err(|error| explain(side, option, *asked, &error))?,
            };
            listener.set_nonblocking(true).with_context(|| format!("could not prepare {asked}"))?;
            Ok(Listening { side, asked: *asked, listener })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(Sockets { listeners })
}

/// The same sentence for the gateway's own listeners.
pub(super) fn explain_proxy(error: StartError, settings: &Settings) -> anyhow::Error {
    let wanted = &settings.proxy;
    match error {
        StartError::Bind { address, source } => {
            let streams = &settings.streams;
            let option = if wanted.contains(&address) {
                "--proxy-listen"
            } else if settings.tls.listen.contains(&address) {
                "--tls-listen"
            } else if streams.tcp.iter().any(|one| one.address == address && one.tls) {
                "--stream-tls"
            } else if streams.tcp.iter().any(|one| one.address == address) {
                "--stream-tcp"
            } else if streams.udp.contains(&address) {
                "--stream-udp"
            } else {
                "apisix.proxy_protocol"
            };
            explain("gateway", option, address, &source)
        }
        StartError::AccessLog { .. } | StartError::AccessLogFormat(_) => anyhow::Error::new(error)
            .context("the settings nginx_config.http.access_log and access_log_format can't be followed; name a file in a folder that exists, or leave them out"),
        other => anyhow::Error::new(other).context(format!("could not start the gateway on {wanted:?}")),
    }
}

fn explain(side: &str, option: &str, address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {port} on {ip} is taken, so the {side} can't listen there: {holder}. \
             Stop it, or choose another port with {option} {ip}:PORT (port 0 takes a free one)",
            port = address.port(),
            ip = address.ip(),
            holder = holder(address.port()),
        ),
        ErrorKind::PermissionDenied => anyhow::anyhow!(
            "not allowed to listen on {address} for the {side}: ports below 1024 need privileges; choose another with {option}"
        ),
        ErrorKind::AddrNotAvailable => anyhow::anyhow!(
            "{} is no address of this machine, so the {side} can't listen there; choose another with {option}",
            address.ip()
        ),
        _ => anyhow::anyhow!(
            "could not listen on {address} for the {side}: {error}; choose another address with {option}"
        ),
    }
}

/// Who holds a port, as far as `/proc` lets us see; else the usual suspects.
pub(crate) fn holder(port: u16) -> String {
    let seen = listening_inode(port).and_then(process_with_socket);
    seen.unwrap_or_else(|| match port {
        9080 | 9180 | 9443 | 9090 | 9091 => "another Usher or an Apache APISIX may hold it".to_owned(),
        5000 => "another Usher, a Flask or registry server, or AirPlay on macOS may hold it".to_owned(),
        _ => format!("`ss -ltnp 'sport = :{port}'` shows by whom"),
    })
}

fn listening_inode(port: u16) -> Option<String> {
    let wanted = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| {
            let mut columns = line.split_whitespace();
            let local = columns.nth(1)?;
            // State 0A is LISTEN; the inode is the tenth column.
            let listening = columns.nth(1)? == "0A";
            let inode = columns.nth(5)?;
            (listening && local.ends_with(&wanted)).then(|| inode.to_owned())
        })
    })
}

fn process_with_socket(inode: String) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let id = process.file_name();
        let Some(id) = id.to_str().filter(|id| id.bytes().all(|byte| byte.is_ascii_digit())) else {
            continue;
        };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let holds = files.flatten().any(|file| {
            std::fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        });
        if holds {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("process {id} ({}) holds it", name.trim()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use usher_proxy::handed::Inherited;

    use super::bind;

    #[test]
    fn a_taken_port_names_its_holder_and_the_option() {
        let first =
            bind("Admin API", "--admin-listen", &["127.0.0.1:0".parse().unwrap()], &Inherited::default())
                .unwrap();
        let taken = first.addresses()[0];
        let Err(error) = bind("chat side", "--chat-listen", &[taken], &Inherited::default()) else {
            panic!("the port was taken twice")
        };
        let text = error.to_string();
        for part in [
            &taken.port().to_string(),
            "chat side",
            "--chat-listen",
            &format!("process {}", std::process::id()),
        ] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }
}
