//! Keeps a model's address that was named at runtime away from link-local and metadata addresses and from Usher's own listeners.
//!
//! What a name leads to is looked at each time where it is connected to: a name that was harmless when it was written may lead elsewhere later.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Says why nothing may be sent to a host and port, if that is so.
pub(crate) type Guard = Arc<dyn Fn(&str, u16) -> Option<&'static str> + Send + Sync>;

/// Looks names up, and gives none of the addresses that the guard keeps away from.
pub(super) struct Resolver {
    guard: Guard,
    port: u16,
}

impl Resolver {
    pub(super) fn new(guard: Guard, base: &str) -> Self {
        let port = Url::parse(base).ok().and_then(|url| url.port_or_known_default()).unwrap_or_default();
        Self { guard, port }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, port) = (Arc::clone(&self.guard), self.port);
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, port)).await?.collect();
            for address in &found {
                if let Some(reason) = guard(&address.ip().to_string(), port) {
                    let sentence = format!("{name} leads to {}, which is {reason}", address.ip());
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, sentence).into());
                }
            }
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

/// Why nothing is sent to an address as it is written: a name is looked at by the resolver.
pub(super) fn refused(guard: &Guard, url: &Url) -> Option<String> {
    let host = url.host_str()?.trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or_default();
    guard(host, port).map(|reason| format!("it is {reason}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reqwest::dns::Resolve as _;

    use super::{Guard, Resolver, refused};

    fn guard() -> Guard {
        Arc::new(|host, port| (host == "127.0.0.1" && port == 7).then_some("kept away from"))
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_leads_to() {
        for (base, good) in [("http://localhost:7/v1", false), ("http://localhost:8/v1", true)] {
            let found = Resolver::new(guard(), base).resolve("localhost".parse().unwrap()).await;
            match found {
                Ok(addresses) => assert!(good && addresses.count() > 0, "{base}"),
                Err(error) => {
                    assert!(!good, "{base}: {error}");
                    assert_eq!(error.to_string(), "localhost leads to 127.0.0.1, which is kept away from");
                }
            }
        }
        let literal = "http://127.0.0.1:7".parse().unwrap();
        assert_eq!(refused(&guard(), &literal).as_deref(), Some("it is kept away from"));
    }
}
