//! What is kept of answers where the system itself is asked; name servers are asked in the tests of the whole proxy.

use std::sync::Arc;
use std::time::Instant;

use super::{Asker, Resolver};

#[tokio::test]
async fn a_name_is_asked_once_and_shared() {
    let resolver = Resolver::new(Asker::System);
    let name = resolver.name("localhost");
    assert!(Arc::ptr_eq(&name, &resolver.name("localhost")));
    let first = name.addresses(Instant::now()).await.unwrap();
    assert!(first.iter().all(|address| address.is_loopback()) && !first.is_empty());
    let again = name.addresses(Instant::now()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
}

#[tokio::test]
async fn a_name_that_does_not_exist_says_so() {
    // RFC 6761 keeps this name for it.
    let name = Resolver::new(Asker::System).name("nowhere.invalid");
    assert!(name.addresses(Instant::now()).await.is_err());
    assert!(name.addresses(Instant::now()).await.is_err());
}
