//! Which member is spoken to: any that is healthy. The first to answer a read that needs the majority is taken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::Code;

use super::fault::Fault;
use super::member::{Connection, Login, Member};
use super::names::Names;
use super::options::{Address, Options};
use super::{tls, wire};

/// How long one member has to connect and to answer.
const CONNECT: Duration = Duration::from_millis(2000);
/// How long the next member waits for the one before it.
const HEAD_START: Duration = Duration::from_millis(150);
/// HTTP/2's own sign of life: how often it is asked for while a stream is open, and how long is waited for it.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(10));

/// All members.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) names: Names,
    addresses: Vec<(String, Address)>,
    tls: Option<Arc<ClientConfig>>,
    /// The name that members have to prove, where it isn't the host of their address.
    sni: Option<String>,
    login: Option<Login>,
    current: tokio::sync::Mutex<Option<Arc<Member>>>,
    /// Where the next search begins.
    next: AtomicUsize,
    /// Counts the searches that found a member.
    found: watch::Sender<u64>,
}

impl Members {
    /// Reads the options, and the files that they name.
    ///
    /// # Errors
    /// What is wrong, for a person.
    pub(super) fn new(options: &Options) -> Result<Self, String> {
        options.check()?;
        let mut addresses = Vec::new();
        for endpoint in &options.endpoints {
            addresses.push((endpoint.clone(), Address::parse(endpoint)?));
        }
        let any_tls = addresses.iter().any(|(_, address)| address.tls);
        let login = options.user.clone().zip(options.password.clone());
        Ok(Self {
            names: Names::new(&options.prefix),
            sni: options.sni.clone(),
            tls: any_tls.then(|| tls::config(options)).transpose()?,
            login: login.map(|(user, password)| Login { user, password }),
            // Not every gateway begins with the same member.
            next: AtomicUsize::new(fastrand::usize(..addresses.len().max(1))),
            addresses,
            found: watch::Sender::new(0),
            current: tokio::sync::Mutex::new(None),
        })
    }

    /// The member in use, or the first that is found healthy.
    ///
    /// # Errors
    /// [`Fault`] with what each member said. What is of the cluster (no permission) is told as it is.
    pub(super) async fn get(&self) -> Result<Arc<Member>, Fault> {
        let mut current = self.current.lock().await;
        if let Some(member) = current.as_ref().filter(|member| !member.is_broken()) {
            return Ok(Arc::clone(member));
        }
        *current = None;
        let found = self.find().await?;
        tracing::info!(member = %found.endpoint, "connected to etcd");
        *current = Some(Arc::clone(&found));
        self.found.send_modify(|count| *count += 1);
        Ok(found)
    }

    /// Tells when somebody finds a member.
    pub(super) fn found(&self) -> watch::Receiver<u64> {
        self.found.subscribe()
    }

    /// Gives up the member in use, so that everybody begins with another.
    pub(super) async fn renew(&self, reason: &str) {
        if let Some(member) = self.current.lock().await.as_ref() {
            member.fail(reason);
        }
    }

    async fn find(&self) -> Result<Arc<Member>, Fault> {
        let count = self.addresses.len();
        let begin = self.next.fetch_add(1, Ordering::Relaxed) % count.max(1);
        let order = self.addresses.iter().cycle().skip(begin).take(count);
        let mut tries: FuturesUnordered<_> = (0..)
            .zip(order)
            .map(|(place, (endpoint, address))| async move {
                tokio::time::sleep(HEAD_START * place).await;
                let connecting = tokio::time::timeout(CONNECT, self.connect(endpoint, address));
                let outcome =
                    connecting.await.unwrap_or_else(|_| Err(Fault::Away("no answer in time".to_owned())));
                (endpoint, outcome)
            })
            .collect();
        let mut refused = None;
        let mut said = Vec::new();
        while let Some((endpoint, outcome)) = tries.next().await {
            match outcome {
                Ok(member) => return Ok(member),
                Err(fault) => {
                    tracing::debug!(member = %endpoint, fault = fault.text(), "a member of etcd is of no use");
                    said.push(format!("{endpoint}: {}", explained(&fault)));
                    if fault.is_of_the_cluster() {
                        refused = Some(fault);
                    }
                }
            }
        }
        Err(match refused {
            Some(Fault::Refused(code, _)) if code == Code::PermissionDenied => {
                Fault::Refused(code, said.join("; "))
            }
            _ => Fault::Away(said.join("; ")),
        })
    }

    fn connect<'a>(
        &'a self,
        endpoint: &'a str,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Arc<Member>, Fault>> {
        Box::pin(async move {
            let away = |error: &dyn std::fmt::Display| Fault::Away(error.to_string());
            let tcp = TcpStream::connect((address.host.as_str(), address.port))
                .await
                .map_err(|error| away(&error))?;
            tcp.set_nodelay(true).map_err(|error| away(&error))?;
            let member = match self.tls.as_ref().filter(|_| address.tls) {
                Some(config) => {
                    let host = self.sni.as_ref().unwrap_or(&address.host);
                    let name = ServerName::try_from(host.clone()).map_err(|error| away(&error))?;
                    let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
                    let stream = connector.connect(name, tcp).await.map_err(|error| away(&error))?;
                    self.speak(endpoint, stream).await?
                }
                None => self.speak(endpoint, tcp).await?,
            };
            member.log_in(CONNECT).await?;
            // A read that the majority has to confirm: a member that is cut off, stalled or without a leader doesn't answer it.
            member.range(wire::one(self.names.hidden("probe")), CONNECT).await?;
            Ok(Arc::new(member))
        })
    }

    async fn speak(
        &self,
        endpoint: &str,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Member, Fault> {
        let (sender, driver) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE.0)
            .keep_alive_timeout(KEEPALIVE.1)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Fault::Away(error.to_string()))?;
        let broken = CancellationToken::new();
        let over = broken.clone();
        let driver = tokio::spawn(async move {
            tokio::select! {
                ended = driver => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "the connection to a member of etcd ended");
                    }
                }
                () = over.cancelled() => {}
            }
            over.cancel();
        });
        let origin = endpoint.parse().map_err(|_| Fault::Away("its address can't be read".to_owned()))?;
        Ok(Member {
            endpoint: endpoint.to_owned(),
            connection: Connection(sender),
            origin,
            login: self.login.clone(),
            token: Mutex::new(None),
            broken,
            _driver: AbortOnDropHandle::new(driver),
        })
    }
}

/// What a person can do about it.
fn explained(fault: &Fault) -> String {
    let text = fault.text();
    if text.contains("user name is empty") {
        return format!("{text}: this etcd asks for a user and a password");
    }
    if text.contains("authentication failed") {
        return format!("{text}: the user or the password is wrong");
    }
    text.to_owned()
}
