//! The course of one request, from its complete head to its last byte: inbound, route, plugins, upstream, answer, log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use usher_http1::reject::Reject;
use usher_http1::request::{Framing, RequestHead, Upgrade};
use usher_pipeline::body::Body;
use usher_pipeline::cause::{Cause, What};
use usher_pipeline::exchange::{AnsweredBy, Choice};
use usher_pipeline::fallback::Fallback;
use usher_pipeline::plugin::Flow;
use usher_pipeline::reply::Reply;
use usher_pipeline::request::Request;

use super::access_log::Finished;
use super::answer;
use super::client::{Client, NoHead};
use super::errors::Failure;
use super::forward;
use super::ingress::{Ingress, split_host};
use super::nodes::Chosen;
use super::path::{self, Spelling};
use super::plugins::Plugins;
use super::proof;
use super::recent::Spans;
use super::state::State;
use super::view::View;
use crate::config::{Asked, BodyWord, Origin, Route, Upstream};
use crate::options::PathRules;

/// What becomes of the connection behind an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next request may come.
    Keep,
    /// It is closed; nothing is unread.
    Close,
    /// It is closed, but the client may still be sending.
    Linger,
    /// It is closed, and a client that was too slow is not waited for again.
    Leave,
    /// It is closed in the middle of an answer.
    Cut,
}

/// One request on its way.
pub(super) struct Course<'a> {
    pub(super) client: &'a Rc<Client>,
    pub(super) wants: RequestHead,
    /// Whether the connection ends behind this request, whatever the client wants.
    pub(super) last: bool,
    pub(super) view: &'a View,
    pub(super) route: Option<&'a Arc<Route>>,
    pub(super) plugins: Plugins<'a>,
    pub(super) state: &'a mut State,
    /// Whether the client asked for a head alone, whatever plugins made of its method.
    pub(super) is_head: bool,
    /// Whether the client speaks gRPC by HTTP/1, before any plugin changed that.
    pub(super) wants_grpc: bool,
    /// Whether an answer's head was made.
    pub(super) answered: bool,
    /// Whether plugins have seen the request.
    seen: bool,
    ended: bool,
}

/// Runs one request whose head is in `state`. `last`: the connection ends behind it.
pub(super) async fn run(client: &Rc<Client>, state: &mut State, wants: RequestHead, last: bool) -> Next {
    let view = client.local.view();
    let mut course = Course::new(client, &view, state, wants, last);
    let outcome = course.way_in().await;
    let next = answer::answer(&mut course, outcome).await;
    course.end();
    next
}

/// Answers a connection that sent something other than a request.
pub(super) async fn without_head(client: &Rc<Client>, state: &mut State, no_head: NoHead) -> Next {
    let reject = match no_head {
        NoHead::Gone | NoHead::TimedOut(false) => return Next::Close,
        NoHead::TimedOut(true) => Reject { status: 408, reason: "a head that came too slowly" },
        NoHead::Refused(reject) => reject,
    };
    let view = client.local.view();
    // Nothing of it is believed, nor logged.
    state.exchange.request.head.clear();
    state.exchange.request.refill("", None, false, "", None);
    let wants = RequestHead {
        framing: Framing::None,
        keep_alive: false,
        expect_continue: false,
        upgrade: Upgrade::None,
        asterisk: false,
    };
    let mut course = Course::new(client, &view, state, wants, true);
    answer::answer(&mut course, Err(Failure::Refused(reject))).await
}

impl<'a> Course<'a> {
    fn new(
        client: &'a Rc<Client>,
        view: &'a View,
        state: &'a mut State,
        wants: RequestHead,
        last: bool,
    ) -> Self {
        state.begin(&view.directory);
        state.exchange.client = client.peer;
        state.exchange.peer = client.peer;
        state.exchange.is_inner = client.is_inner;
        if client.local.settings.debug || client.local.shared.watches().has(client.peer) {
            state.exchange.note_runs();
        }
        state.exchange.server = client.server;
        state.exchange.connection = client.serial;
        state.exchange.connection_requests = client.count_request();
        state.exchange.request.tls = client.secured.is_some();
        state.exchange.secured.clone_from(&client.secured);
        let plugins = Plugins::new(view.snapshot.global_rules());
        let writing = &client.local.writing;
        writing.set(writing.get() + 1);
        Self {
            client,
            wants,
            last,
            view,
            route: None,
            plugins,
            state,
            is_head: false,
            wants_grpc: false,
            answered: false,
            seen: false,
            ended: false,
        }
    }

    async fn way_in(&mut self) -> Result<(), Failure> {
        self.settle()?;
        if let Some(proof) = self.client.local.settings.proofs.of_path(self.state.exchange.request.path()) {
            return Err(Reply::text(200, "application/octet-stream", proof.as_bytes().to_vec()).into());
        }
        proof::check(self)?;
        let local = &self.client.local;
        local.retries.earn(local.clock.ms());
        self.seen = true;
        self.find_route().await?;
        if !self.plugins.are_idle_on_the_way_in() {
            let exchange = &mut self.state.exchange;
            if let Flow::Reply(reply) = self.plugins.way_in(exchange, self.route, &local.shared).await {
                return Err(Failure::Reply(reply));
            }
        }
        if self.route.is_none() {
            return Err(Failure::NotFound);
        }
        let outcome = self.send().await;
        match self.state.exchange.fallback.clone() {
            // Boxed: few requests have one.
            Some(fallback) => Box::pin(self.fall_back(fallback, outcome)).await,
            None => outcome,
        }
    }

    /// Sends the request to the upstream that was chosen for it.
    async fn send(&mut self) -> Result<(), Failure> {
        let choice = self.state.exchange.choice.clone();
        match &choice {
            Some(Choice::Id(id)) => {
                let upstream = self.upstream_of(id)?;
                forward::forward(self, Chosen::Configured(upstream)).await
            }
            Some(Choice::Target(target)) => {
                let Some(upstream) = target.as_any().downcast_ref::<Upstream>() else {
                    return Err(Failure::NoUpstream);
                };
                forward::forward(self, Chosen::Inline(target, upstream)).await
            }
            None => {
                let upstream = self.own_upstream()?;
                forward::forward(self, Chosen::Configured(upstream)).await
            }
        }
    }

    /// Goes on to further upstreams as long as a plugin knows one for such an answer. The client has seen nothing of any of them: an answer's head
    /// leaves behind this.
    async fn fall_back(
        &mut self,
        fallback: Rc<dyn Fallback>,
        mut outcome: Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            let status = match &outcome {
                Ok(()) => self.state.exchange.answer.status(),
                Err(Failure::Upstream(trouble)) => trouble.status(),
                Err(_) => return outcome,
            };
            if !Rc::clone(&fallback).next(&mut self.state.exchange, status).await {
                return outcome;
            }
            self.forget_answer();
            outcome = self.send().await;
        }
    }

    /// Lets go of an answer that nobody gets.
    fn forget_answer(&mut self) {
        let state = &mut *self.state;
        if state.far.skip_body() {
            state.far.finish(self.client);
        }
        if let Some(flight) = state.flight.take() {
            flight.answered(self.client.local.clock.now());
        }
        state.exchange.answer.clear();
        state.tried.clear();
    }

    fn own_upstream(&self) -> Result<&'a Arc<Upstream>, Failure> {
        let route = self.route.ok_or(Failure::NotFound)?;
        match &route.upstream {
            Origin::Own(upstream) => Ok(upstream),
            Origin::Id(id) => self.upstream_of(id),
            Origin::None => Err(Failure::NoUpstream),
        }
    }

    fn upstream_of(&self, id: &Arc<str>) -> Result<&'a Arc<Upstream>, Failure> {
        self.view.snapshot.upstream(id).ok_or_else(|| Failure::UnknownUpstream(Arc::clone(id)))
    }

    /// Makes the request that plugins see of the head that came.
    fn settle(&mut self) -> Result<(), Failure> {
        let (client, state) = (self.client, &mut *self.state);
        let exchange = &mut state.exchange;
        // Taken out, so that its texts can be read while the request is refilled.
        let head = std::mem::take(&mut exchange.request.head);
        let settled = refill(&head, state, client.local.settings.paths);
        let exchange = &mut state.exchange;
        exchange.request.head = head;
        self.is_head = exchange.request.method() == "HEAD";
        settled.map_err(Failure::Refused)?;
        client.local.ingress.settle(client, exchange, &mut state.said, &state.authority);
        self.wants_grpc = self.wants.framing != Framing::None
            && !client.is_stream()
            && super::http2::is_grpc(&exchange.request.head);
        let circles = Ingress::runs_in_a_circle(&state.said);
        // Before any answer: what is left of the body must never be taken for the next request.
        let body = client.open_body(&self.wants);
        exchange.request.body =
            body.map_err(|bad| Failure::Refused(Reject { status: bad.status, reason: bad.reason }))?;
        if circles {
            return Err(Failure::Circle);
        }
        if client.local.pressure.refuses() {
            return Err(Failure::Overload);
        }
        if self.wants.asterisk {
            return Err(Reply::new(200).with("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS").into());
        }
        if exchange.request.method() == "TRACE" {
            // It would show the client what the gateway adds.
            return Err(Reply::new(405).into());
        }
        Ok(())
    }

    /// Finds the route. Where the body decides, and only there, it is read first.
    async fn find_route(&mut self) -> Result<(), Failure> {
        if self.take_route(BodyWord::Unread) {
            let read = self.state.exchange.read_for_variables().await;
            read.map_err(|error| {
                let status = error.status();
                Failure::body(error, status)
            })?;
            self.take_route(BodyWord::Read);
        }
        Ok(())
    }

    /// Takes the route, unless the body has to be read for it: then it says so.
    fn take_route(&mut self, body: BodyWord) -> bool {
        let exchange = &mut self.state.exchange;
        let path = self.client.local.settings.routed(exchange.request.path());
        let asked = Asked::of(exchange, path, body);
        let found = self.view.snapshot.take(&asked);
        if asked.wanted.get() {
            return true;
        }
        let Some(candidate) = found else { return false };
        let mut parameters = Vec::new();
        candidate.each_parameter(path, |name, part| parameters.push((name.to_owned(), part.to_owned())));
        for (name, part) in parameters {
            exchange.set_parameter(&name, &part);
        }
        let route = &candidate.route;
        self.route = Some(route);
        exchange.route = Some(Arc::clone(&candidate.facts));
        self.plugins.take_route(route);
        false
    }

    /// Says why the answer is the gateway's own.
    pub(super) fn note(&mut self, what: What, retry_safe: bool) {
        self.state.exchange.cause = Some(Cause { what, retry_safe });
    }

    /// The last of a request: plugins, counters and the log see how it went. Runs once, also when the task is dropped.
    pub(super) fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let local = &self.client.local;
        local.writing.set(local.writing.get() - 1);
        let state = &mut *self.state;
        let exchange = &mut state.exchange;
        if !self.answered {
            exchange.answer.clear();
            // 499 is nginx's number for a client that left before it had an answer.
            exchange.answer.set_status(if std::thread::panicking() { 500 } else { 499 });
            exchange.answered_by = AnsweredBy::Gateway;
            let what = if std::thread::panicking() { What::Panic } else { What::ClientGone };
            exchange.cause = Some(Cause { what, retry_safe: false });
        }
        if let Some(cause) = exchange.cause {
            local.shared.causes().count(cause.what);
        }
        exchange.times.received_bytes = self.client.received();
        exchange.times.sent_bytes = state.down.written();
        exchange.times.body_bytes = state.body_bytes.saturating_sub(state.down.pending() as u64);
        if self.seen {
            // This may run while a panic unwinds, and a second one would end the process.
            let logged = catch_unwind(AssertUnwindSafe(|| self.plugins.log(exchange)));
            if logged.is_err() {
                tracing::error!("a plugin panicked while it logged a request");
            }
        }
        let traffic = self.route.map_or_else(|| local.shared.not_found(), |route| &route.traffic);
        traffic.count(local.index, exchange.answer.status());
        if let Some(lines) = &local.lines {
            lines.add(Finished::Exchange(exchange), &local.clock);
        }
        if let Some(flight) = state.flight.take()
            && let Some(at) = exchange.times.upstream_end
        {
            flight.answered(at);
        }
        let now = local.clock.unix();
        let spans = Spans::of(exchange);
        local.recent.note(exchange, &spans, now);
        if exchange.trail().is_some() {
            local.shared.watches().tell(self.client.peer, exchange, now);
        }
        local.tally.note(exchange, &spans, now);
        exchange.request.body = Body::Empty;
        state.far.cut();
    }
}

impl Drop for Course<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Path, query, host and port of a head, made canonical.
fn refill(head: &usher_http1::head::Head, state: &mut State, rules: PathRules) -> Result<(), Reject> {
    let asked = head.get("host").unwrap_or_default();
    if state.authority.as_bytes() != asked {
        let authority = std::str::from_utf8(asked).unwrap_or_default();
        let (host, port) = split_host(authority);
        (state.host_end, state.port) = (host.strip_suffix('.').unwrap_or(host).len(), port);
        state.authority.clear();
        state.authority.push_str(authority);
    }
    let (host, port) = (state.authority.get(..state.host_end).unwrap_or_default(), state.port);
    let target = head.target();
    let (path, query) = match memchr::memchr(b'?', target.as_bytes()) {
        Some(at) => (target.get(..at).unwrap_or_default(), target.get(at + 1..)),
        None => (target, None),
    };
    let spelling = if path == "*" {
        Ok(Spelling::Plain)
    } else {
        path::canonical(path, &mut state.path).map_err(refused)
    };
    let is_new = spelling == Ok(Spelling::New);
    let path = if is_new { &state.path } else { path };
    let request = &mut state.exchange.request;
    if rules.like_servlet && spelling.is_ok() && path.contains(';') {
        let bare = path::without_parameters(path).map_err(refused)?;
        request.refill(&bare, query, true, host, port);
    } else {
        request.refill(path, query, is_new, host, port);
    }
    match spelling {
        Ok(Spelling::Plain) => Ok(()),
        Ok(_) if rules.encoded_slash => Ok(()),
        Ok(_) => judge(request),
        Err(reject) => Err(reject),
    }
}

/// Shows routes and plugins a slash where the client escaped one, and forwards what it wrote.
#[cold]
fn judge(request: &mut Request) -> Result<(), Reject> {
    if let Some(judged) = path::judged(request.path()).map_err(refused)? {
        request.judge_as(judged);
    }
    Ok(())
}

const fn refused(reason: path::BadPath) -> Reject {
    Reject { status: 400, reason }
}

impl From<Reply> for Failure {
    fn from(reply: Reply) -> Self {
        Self::Reply(Box::new(reply))
    }
}
