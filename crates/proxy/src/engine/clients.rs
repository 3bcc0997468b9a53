//! How many connections each client has, over all workers, where that is bounded. An IPv6 client is its /64: it has all addresses in it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections by client.
#[derive(Debug)]
pub(super) struct Clients {
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// A client's place among its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    /// At most so many a client.
    pub(super) fn new(most: usize) -> Self {
        Self { most, counts: Mutex::default() }
    }

    /// A place for one more connection of this client; `None` when it has as many as it may.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let client = network(client);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { clients: Arc::clone(self), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Clients;

    #[test]
    fn each_client_has_its_own_places_and_gives_them_back() {
        let clients = Arc::new(Clients::new(2));
        let admit = |ip: &str| clients.admit(ip.parse().unwrap());
        let first = admit("10.0.0.1");
        let second = admit("::ffff:10.0.0.1");
        assert!(first.is_some() && second.is_some() && admit("10.0.0.1").is_none());
        assert!(admit("10.0.0.2").is_some());
        drop(first);
        assert!(admit("10.0.0.1").is_some());
        let both = (admit("2001:db8::1"), admit("2001:db8::ffff"));
        assert!(both.0.is_some() && both.1.is_some() && admit("2001:db8::2").is_none());
        assert!(admit("2001:db8:0:1::1").is_some());
        drop((second, both));
        assert!(clients.counts.lock().unwrap().is_empty());
    }
}
