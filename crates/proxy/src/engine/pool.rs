//! Idle connections to one node, kept by one worker for its next requests.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use usher_http1::familiar::Familiar;
use usher_model::resource::KeepalivePool;

use super::socket::Socket;

/// A connection to an upstream node.
pub(super) struct Link {
    pub(super) socket: Socket,
    /// Where it goes.
    pub(super) address: SocketAddr,
    /// The name it was verified for, where that isn't the node's own.
    pub(super) name: Option<Rc<str>>,
    /// Answers that it has carried.
    pub(super) served: u64,
    idle_since_ms: u64,
}

impl Link {
    /// Boxed once, because it changes hands several times with every exchange.
    pub(super) fn new(socket: Socket, address: SocketAddr, name: Option<Rc<str>>) -> Box<Self> {
        Box::new(Self { socket, address, name, served: 0, idle_since_ms: 0 })
    }
}

/// The idle connections to one node. The newest is used first, so that the others can grow old.
pub(super) struct Idle {
    #[expect(clippy::vec_box, reason = "what is lent is the box: its content is never moved")]
    links: RefCell<Vec<Box<Link>>>,
    rules: Cell<KeepalivePool>,
    /// Idle connections of the whole worker.
    all: Rc<Cell<usize>>,
    /// What the heads of this node's answers have in common.
    pub(super) familiar: RefCell<Familiar>,
}

/// Idle connections that a worker keeps over all nodes.
const MOST: usize = 8_192;

impl Idle {
    pub(super) fn new(rules: KeepalivePool, all: Rc<Cell<usize>>) -> Self {
        Self { links: RefCell::default(), rules: Cell::new(rules), all, familiar: RefCell::default() }
    }

    /// How connections are kept from now on.
    pub(super) fn keep_by(&self, rules: KeepalivePool) {
        self.rules.set(rules);
    }

    /// A connection that is certainly open as far as this side can know. `suits` judges name and address; `certain` asks the kernel, for requests
    /// that must not be sent twice.
    pub(super) fn take(
        &self,
        now_ms: u64,
        certain: bool,
        suits: impl Fn(&Link) -> bool,
    ) -> Option<Box<Link>> {
        let mut links = self.links.borrow_mut();
        loop {
            let at = links.iter().rposition(|link| suits(link))?;
            let mut link = links.remove(at);
            self.all.set(self.all.get().saturating_sub(1));
            let is_quiet = if certain { link.socket.is_quiet_now() } else { link.socket.is_quiet() };
            if is_quiet && !self.is_old(&link, now_ms) {
                return Some(link);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn put(&self, mut link: Box<Link>, now_ms: u64) {
        let rules = self.rules.get();
        link.served += 1;
        let mut links = self.links.borrow_mut();
        if link.served >= rules.requests || rules.size == 0 {
            return;
        }
        if links.len() >= rules.size && !links.is_empty() {
            // The oldest makes room.
            drop(links.remove(0));
        } else if self.all.get() >= MOST {
            return;
        } else {
            self.all.set(self.all.get() + 1);
        }
        link.idle_since_ms = now_ms;
        links.push(link);
    }

    /// Closes what is too old or was closed by the other side.
    pub(super) fn sweep(&self, now_ms: u64) {
        let mut links = self.links.borrow_mut();
        let before = links.len();
        links.retain_mut(|link| !self.is_old(link, now_ms) && link.socket.is_quiet());
        self.all.set(self.all.get().saturating_sub(before - links.len()));
    }

    /// Whether it holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.links.borrow().is_empty()
    }

    fn is_old(&self, link: &Link, now_ms: u64) -> bool {
        let seconds = self.rules.get().idle_timeout;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "casts of floats saturate, and the schema lets no negative number in"
        )]
        let patience_ms = (seconds * 1000.0) as u64;
        patience_ms > 0 && now_ms.saturating_sub(link.idle_since_ms) >= patience_ms
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use usher_model::resource::KeepalivePool;

    use super::{Idle, Link};
    use crate::engine::socket::Socket;

    async fn pair(listener: &TcpListener) -> (Box<Link>, TcpStream) {
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Link::new(Socket::Plain(near.unwrap()), address, None), far.unwrap().0)
    }

    fn idle(rules: KeepalivePool) -> Idle {
        Idle::new(rules, Rc::new(Cell::new(0)))
    }

    #[tokio::test]
    async fn closed_and_talkative_connections_are_never_lent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idle = idle(KeepalivePool::default());
        let (link, mut far) = pair(&listener).await;
        far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        idle.put(link, 0);
        assert!(idle.take(0, true, |_| true).is_none(), "somebody spoke without being asked");
        let (link, far) = pair(&listener).await;
        drop(far);
        idle.put(link, 0);
        assert!(idle.take(0, true, |_| true).is_none(), "it was closed");
        let (link, _far) = pair(&listener).await;
        idle.put(link, 0);
        assert!(idle.take(0, true, |link| link.name.is_some()).is_none());
        assert!(idle.take(0, true, |_| true).is_some());
        assert_eq!(idle.all.get(), 0);
    }

    #[tokio::test]
    async fn size_age_and_number_of_requests_are_bounded() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idle = idle(KeepalivePool { size: 2, idle_timeout: 1.0, requests: 2 });
        let mut far = Vec::new();
        for _ in 0..3 {
            let (link, other) = pair(&listener).await;
            idle.put(link, 0);
            far.push(other);
        }
        assert_eq!((idle.links.borrow().len(), idle.all.get()), (2, 2));
        let link = idle.take(999, false, |_| true).unwrap();
        idle.put(link, 999);
        assert_eq!(idle.links.borrow().len(), 1, "it has served its two requests");
        idle.sweep(1000);
        assert!(idle.is_empty() && idle.all.get() == 0);
    }
}
