//! TLS with clients: real certificates, real handshakes by rustls.

pub(crate) mod authority;
mod clients;
mod connections;
mod names;
mod turning;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use usher_proxy::options::{Options, Tls};

use crate::support::{Answer, Gateway, options, read_answer};
pub(crate) use authority::{Authority, Pair};

/// Options with a listener for TLS.
pub(crate) fn secure() -> Options {
    Options { tls: Tls { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Tls::default() }, ..options() }
}

/// An ssl object for these names.
pub(crate) fn ssl(names: &[&str], pair: &Pair) -> Value {
    json!({ "snis": names, "cert": pair.cert, "key": pair.key })
}

/// What a client goes by.
pub(crate) fn client(authority: &Authority) -> ClientConfig {
    client_with(authority, None)
}

/// The same with a certificate of its own.
fn client_with(authority: &Authority, own: Option<&Pair>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(pair) => builder.with_client_auth_cert(pair.chain(), pair.private_key()).unwrap(),
    };
    config.resumption = Resumption::disabled();
    config
}

/// A connection inside of TLS.
pub(crate) struct Connection {
    pub(crate) reader: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Connection {
    /// Shakes hands for this name.
    pub(crate) fn to(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> Result<Self, std::io::Error> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self::over(TcpStream::connect(address).unwrap(), connection)
    }

    fn over(stream: TcpStream, connection: ClientConnection) -> Result<Self, std::io::Error> {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// One request; `fields` are whole lines.
    fn request(&mut self, method: &str, target: &str, fields: &str) {
        let text = format!("{method} {target} HTTP/1.1\r\n{fields}\r\n");
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn get(&mut self, host: &str, target: &str) -> Option<Answer> {
        self.request("GET", target, &format!("Host: {host}\r\n"));
        read_answer(&mut self.reader, "GET")
    }

    fn tls(&self) -> &ClientConnection {
        &self.reader.get_ref().conn
    }
}

impl Gateway {
    /// A handshake for this name.
    fn shake(&self, config: &Arc<ClientConfig>, name: &str) -> Result<Connection, std::io::Error> {
        Connection::to(self.secure.unwrap(), config, name)
    }

    /// One GET inside of TLS: its status, or why there was none.
    fn ask(&self, config: &Arc<ClientConfig>, name: &str, target: &str) -> Result<Answer, String> {
        let mut connection = self.shake(config, name).map_err(|error| error.to_string())?;
        connection.request("GET", target, &format!("Host: {name}\r\n"));
        // In TLS 1.3 a client learns that its certificate was refused when it reads.
        match connection.reader.fill_buf() {
            Ok([]) => return Err("closed".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
        read_answer(&mut connection.reader, "GET").ok_or_else(|| "cut".to_owned())
    }
}
