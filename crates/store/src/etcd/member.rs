//! One connection to one member, and the calls that go over it.
//!
//! The connection is HTTP/2 of our own making: a call knows whether anything was sent, and a member that fails one caller fails all of them at
//! once, so that nobody waits for the same silence twice.

use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use hyper::client::conn::http2::SendRequest;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request, Streaming};
use tonic_prost::ProstCodec;

use super::fault::Fault;
use super::wire::{
    AuthenticateRequest, AuthenticateResponse, LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, TxnRequest, TxnResponse, WatchRequest, WatchResponse,
};

/// The largest answer that is taken. Pages of a list are asked for in pieces of about 2 MiB, events come in pieces of about as much.
const MOST_ANSWER_BYTES: usize = 32 << 20;

/// How requests are put on the connection.
#[derive(Clone, Debug)]
pub(super) struct Connection(pub(super) SendRequest<Body>);

impl GrpcService<Body> for Connection {
    type ResponseBody = hyper::body::Incoming;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<http::Response<hyper::body::Incoming>, hyper::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// Who Usher is to etcd.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: usher_model::secret::Secret<String>,
}

/// A member that answered.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) endpoint: String,
    pub(super) connection: Connection,
    pub(super) origin: http::Uri,
    pub(super) login: Option<Login>,
    pub(super) token: Mutex<Option<AsciiMetadataValue>>,
    /// Cancelled once the connection is over, by whoever sees it first.
    pub(super) broken: CancellationToken,
    pub(super) _driver: AbortOnDropHandle<()>,
}

impl Member {
    /// Whether it is of no use any more.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_cancelled()
    }

    /// Gives it up, for everybody who uses it.
    pub(super) fn fail(&self, reason: &str) {
        if !self.is_broken() {
            tracing::info!(member = %self.endpoint, reason, "gave up the connection to a member of etcd");
        }
        self.broken.cancel();
    }

    pub(super) async fn range(
        &self,
        request: RangeRequest,
        within: Duration,
    ) -> Result<RangeResponse, Fault> {
        self.call("/etcdserverpb.KV/Range", request, within).await
    }

    pub(super) async fn put(&self, request: PutRequest, within: Duration) -> Result<PutResponse, Fault> {
        self.call("/etcdserverpb.KV/Put", request, within).await
    }

    pub(super) async fn transact(&self, request: TxnRequest, within: Duration) -> Result<TxnResponse, Fault> {
        self.call("/etcdserverpb.KV/Txn", request, within).await
    }

    /// A lease of so many seconds.
    pub(super) async fn grant(&self, secs: i64, within: Duration) -> Result<i64, Fault> {
        let request = LeaseGrantRequest { ttl: secs, id: 0 };
        let granted: LeaseGrantResponse =
            self.call("/etcdserverpb.Lease/LeaseGrant", request, within).await?;
        if granted.error.is_empty() {
            Ok(granted.id)
        } else {
            Err(Fault::Refused(Code::InvalidArgument, granted.error))
        }
    }

    pub(super) async fn revoke(&self, lease: i64, within: Duration) -> Result<(), Fault> {
        let request = LeaseRevokeRequest { id: lease };
        self.call::<_, LeaseRevokeResponse>("/etcdserverpb.Lease/LeaseRevoke", request, within)
            .await
            .map(drop)
    }

    /// The seconds that a lease has left; `None` where it is over.
    pub(super) async fn left(&self, lease: i64, within: Duration) -> Result<Option<u64>, Fault> {
        let request = LeaseTimeToLiveRequest { id: lease };
        let answer: LeaseTimeToLiveResponse =
            self.call("/etcdserverpb.Lease/LeaseTimeToLive", request, within).await?;
        Ok(u64::try_from(answer.ttl).ok())
    }

    /// Opens a stream of watches.
    pub(super) async fn watch(
        &self,
        requests: impl Stream<Item = WatchRequest> + Send + 'static,
        within: Duration,
    ) -> Result<Streaming<WatchResponse>, Fault> {
        let request = self.dressed(requests);
        let mut grpc = self.grpc();
        let opened = async {
            grpc.ready().await.map_err(|error| Fault::Away(error.to_string()))?;
            let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
            let opened = grpc.streaming(request, path, ProstCodec::default()).await;
            opened.map(tonic::Response::into_inner).map_err(|status| Fault::of(&status))
        };
        self.unless_broken(opened, within).await
    }

    /// Logs in where there is a user; a cluster that asks for none is fine too.
    pub(super) async fn log_in(&self, within: Duration) -> Result<(), Fault> {
        let Some(Login { user, password }) = &self.login else { return Ok(()) };
        // etcd refuses even this with a token that ran out.
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let request = AuthenticateRequest { name: user.clone(), password: password.expose().clone() };
        let path = "/etcdserverpb.Auth/Authenticate";
        let token = match self.send::<_, AuthenticateResponse>(path, request, within).await {
            Ok(answer) => Some(answer.token),
            Err(Fault::Refused(Code::FailedPrecondition, text)) if text.contains("not enabled") => None,
            Err(fault) => return Err(fault),
        };
        let token = token.map(AsciiMetadataValue::try_from).transpose();
        let token = token.map_err(|_| Fault::Away("its token is no text".to_owned()))?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(())
    }

    /// One call. A token that ran out is renewed once; a call that was refused for it was not done.
    async fn call<Q, A>(&self, path: &'static str, request: Q, within: Duration) -> Result<A, Fault>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        if self.login.is_none() {
            return self.send(path, request, within).await;
        }
        match self.send(path, request.clone(), within).await {
            Err(fault) if fault.wants_login() => {
                self.log_in(within).await?;
                self.send(path, request, within).await
            }
            answer => answer,
        }
    }

    async fn send<Q, A>(&self, path: &'static str, request: Q, within: Duration) -> Result<A, Fault>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let request = self.dressed(request);
        let mut grpc = self.grpc();
        if self.is_broken() {
            return Err(Fault::Away("the connection ended".to_owned()));
        }
        let answered = async {
            grpc.ready().await.map_err(|error| Fault::Away(error.to_string()))?;
            let codec = ProstCodec::<Q, A>::default();
            let answer = grpc.unary(request, PathAndQuery::from_static(path), codec).await;
            answer.map(tonic::Response::into_inner).map_err(|status| Fault::of(&status))
        };
        self.unless_broken(answered, within).await
    }

    async fn unless_broken<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>>,
        within: Duration,
    ) -> Result<T, Fault> {
        tokio::select! {
            biased;
            done = tokio::time::timeout(within, work) => {
                done.unwrap_or_else(|_| Err(Fault::Lost(format!("{} did not answer in time", self.endpoint))))
            }
            () = self.broken.cancelled() => Err(Fault::Lost(format!("the connection to {} broke", self.endpoint))),
        }
    }

    fn grpc(&self) -> Grpc<Connection> {
        Grpc::with_origin(self.connection.clone(), self.origin.clone())
            .max_decoding_message_size(MOST_ANSWER_BYTES)
    }

    /// A member without a leader refuses instead of serving what may be old, or waiting.
    fn dressed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("hasleader", AsciiMetadataValue::from_static("true"));
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(token) = token {
            request.metadata_mut().insert("token", token);
        }
        request
    }
}
