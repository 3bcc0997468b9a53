//! Listening sockets that one process hands to the next: the very sockets, so that nothing that waits in them is lost.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How clients come to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// By connections.
    Tcp,
    /// By datagrams.
    Udp,
}

/// The sockets of one address.
#[derive(Debug)]
pub struct Handed {
    /// What they are for, such as `gateway/http` or `admin`.
    pub purpose: String,
    /// How clients come to them.
    pub transport: Transport,
    /// The address as it was asked for, which may have had port 0.
    pub asked: SocketAddr,
    /// One a worker of whoever bound them; at least one.
    pub sockets: Vec<OwnedFd>,
}

/// What an earlier process has handed over and nobody has taken yet.
#[derive(Debug, Default)]
pub struct Inherited(Mutex<Vec<Handed>>);

impl Inherited {
    /// All of these.
    #[must_use]
    pub const fn new(handed: Vec<Handed>) -> Self {
        Self(Mutex::new(handed))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Handed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sockets of an address that is asked for in the same words, rather those of the same purpose; each is given once. Empty where there are none.
    ///
    /// What was asked for with port 0 is told apart by its purpose alone; an address with a port is one, whatever it was for.
    #[must_use]
    pub fn take(&self, purpose: &str, transport: Transport, asked: SocketAddr) -> Vec<OwnedFd> {
        let mut handed = self.lock();
        let fits = |one: &Handed| one.transport == transport && one.asked == asked;
        let exact = handed.iter().position(|one| fits(one) && one.purpose == purpose);
        let alike = || {
            let is_alike = |one: &Handed| asked.port() != 0 || side(&one.purpose) == side(purpose);
            handed.iter().position(|one| fits(one) && is_alike(one))
        };
        let place = exact.or_else(alike);
        place.map(|place| handed.remove(place).sockets).unwrap_or_default()
    }

    /// Closes what nobody has taken: held open, it would collect clients that nobody serves. Says which addresses these were.
    pub fn close_rest(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut *self.lock()).into_iter().map(|one| one.asked).collect()
    }
}

/// Whose a purpose is.
fn side(purpose: &str) -> &str {
    purpose.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::{Handed, Inherited, Transport};

    #[test]
    fn each_socket_is_given_once_and_only_for_its_own_address_and_purpose() {
        let asked = "127.0.0.1:0".parse().unwrap();
        let named: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let handed = |purpose: &str, asked| Handed {
            purpose: purpose.to_owned(),
            transport: Transport::Tcp,
            asked,
            sockets: vec![TcpListener::bind("127.0.0.1:0").unwrap().into()],
        };
        let inherited = Inherited::new(vec![
            handed("gateway/http", asked),
            handed("gateway/https", asked),
            handed("admin", asked),
            handed("admin", named),
        ]);
        let take = |purpose, transport, asked| inherited.take(purpose, transport, asked).len();
        assert_eq!(take("gateway/http", Transport::Udp, asked), 0);
        assert_eq!(take("gateway/http", Transport::Tcp, "127.0.0.1:1".parse().unwrap()), 0);
        assert_eq!(take("chat", Transport::Tcp, asked), 0);
        assert_eq!(take("gateway/https", Transport::Tcp, asked), 1);
        // What is spoken may change, whose it is doesn't.
        assert_eq!(take("gateway/stream", Transport::Tcp, asked), 1);
        assert_eq!(take("gateway/stream", Transport::Tcp, asked), 0);
        assert_eq!(take("gateway/http", Transport::Tcp, named), 1);
        assert_eq!(inherited.close_rest(), [asked]);
        assert_eq!(take("admin", Transport::Tcp, asked), 0);
    }
}
