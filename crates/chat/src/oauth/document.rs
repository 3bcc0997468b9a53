//! Documents of clients: metadata that lies at the address which is the client's identifier, fetched when a person is asked about it.
//!
//! Anybody may name any address here, so that the fetch is hostile until shown otherwise: only TLS, only port 443, only public addresses, looked at
//! after the name was resolved, no redirect, few bytes, little time, few at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use http::Uri;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::client::Client;
use crate::tools::clean;

/// Bytes of a document.
const MOST_BYTES: usize = 16 * 1024;
/// How long a fetch may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How long a document is believed.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// Documents that are kept.
const MOST_KEPT: usize = 64;
/// Fetches at the same time.
const AT_ONCE: usize = 4;
/// Characters of an address.
const LONGEST: usize = 500;

/// What fetches and keeps them.
pub(super) struct Documents {
    http: Option<reqwest::Client>,
    kept: Mutex<HashMap<String, (Instant, Client)>>,
    slots: Semaphore,
    private: bool,
}

impl Documents {
    /// With `private`, documents may lie at private addresses and on any port too.
    pub(super) fn new(private: bool) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(WITHIN)
            .https_only(true)
            .user_agent(concat!("usher/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Guarded { private }))
            .build();
        if let Err(error) = &http {
            tracing::warn!(%error, "documents of OAuth clients can't be fetched");
        }
        Self { http: http.ok(), kept: Mutex::default(), slots: Semaphore::new(AT_ONCE), private }
    }

    /// The client whose document lies at this address.
    ///
    /// # Errors
    /// Why it can't be told, in a sentence.
    pub(super) async fn client(&self, id: &str) -> Result<Client, String> {
        let host = check(id, self.private)?;
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|_, (at, _)| at.elapsed() < KEPT);
            if let Some((_, client)) = kept.get(id) {
                return Ok(client.clone());
            }
        }
        let _slot = self
            .slots
            .try_acquire()
            .map_err(|_| "too many clients are looked up at the same time; try again".to_owned())?;
        let document = self.fetch(id).await?;
        if document.get("client_id").and_then(Value::as_str) != Some(id) {
            return Err("the client's document names another client_id than its own address".to_owned());
        }
        let mut client = Client::of(id, &document)
            .map_err(|(_, why)| format!("the client's document can't be used: {why}"))?;
        client.vouched_by = Some(host);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            let oldest = kept.iter().min_by_key(|(_, (at, _))| *at).map(|(id, _)| id.clone());
            oldest.and_then(|id| kept.remove(&id));
        }
        kept.insert(id.to_owned(), (Instant::now(), client.clone()));
        Ok(client)
    }

    async fn fetch(&self, id: &str) -> Result<Value, String> {
        let failed =
            |why: &str| format!("the client's document at {} can't be fetched: {why}", clean(id, 200));
        let http = self.http.as_ref().ok_or_else(|| failed("look at the log of Usher"))?;
        let response = http.get(id).header("accept", "application/json").send().await.map_err(|error| {
            tracing::debug!(%error, "the document of an OAuth client could not be fetched");
            failed(if error.is_timeout() { "nothing came within 5 seconds" } else { "nobody answers there" })
        })?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(failed(&format!("the answer is {}", response.status().as_u16())));
        }
        let mut body = Vec::new();
        let mut parts = response.bytes_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(|_| failed("the answer broke off"))?;
            body.extend_from_slice(&part);
            if body.len() > MOST_BYTES {
                return Err(failed("it is larger than 16 KiB"));
            }
        }
        serde_json::from_slice(&body).map_err(|_| failed("it is no JSON"))
    }
}

/// Whether an address can be that of a document; its host.
fn check(id: &str, private: bool) -> Result<String, String> {
    let refused = |why: &str| format!("the client_id {} is refused: {why}", clean(id, 200));
    if id.len() > LONGEST || id.contains(['#', '\\']) || id.split('/').any(|part| part == "." || part == "..")
    {
        return Err(refused("it is too long, or no plain address"));
    }
    let uri: Uri = id.parse().map_err(|_| refused("it is no address"))?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if uri.scheme_str() != Some("https") || authority.contains('@') {
        return Err(refused("write https://, a host and a path"));
    }
    if uri.path().len() < 2 {
        return Err(refused("it has no path"));
    }
    let host = uri.host().unwrap_or_default();
    if !private && uri.port_u16().is_some_and(|port| port != 443) {
        return Err(refused("only port 443 is asked"));
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if let Ok(address) = literal
        && !private
        && !is_public(address)
    {
        return Err(refused("its address is no public one"));
    }
    Ok(host.to_owned())
}

/// Names, without those addresses that nobody outside may make us ask.
struct Guarded {
    private: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let all = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let good: Vec<SocketAddr> = all.filter(|address| private || is_public(address.ip())).collect();
            if good.is_empty() {
                return Err("the name has no public address".into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

/// Whether an address lies outside of everything that is somebody's own: private, local, shared, documentation, multicast, reserved.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            !(a == 0
                || a == 10
                || a == 127
                || a >= 224
                || (a == 100 && (64..128).contains(&b))
                || (a == 169 && b == 254)
                || (a == 172 && (16..32).contains(&b))
                || (a == 192 && b == 168)
                || (a == 192 && b == 0 && (c == 0 || c == 2))
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b == 18 || b == 19))
                || (a == 198 && b == 51 && c == 100)
                || (a == 203 && b == 0 && c == 113))
        }
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4() {
        return is_public(inner.into());
    }
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is given out; of that, what carries an address of IPv4 in it or is for documents is none.
    (first & 0xe000) == 0x2000
        && first != 0x2002
        && !(first == 0x2001
            && (second == 0
                || second == 0x0db8
                || (second & 0xfff0) == 0x0010
                || (second & 0xfff0) == 0x0020))
        && !(first == 0x3fff && second < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::{check, is_public};

    #[test]
    fn only_public_addresses_are_asked() {
        for address in ["8.8.8.8", "1.1.1.1", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "2a00::1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "192.0.2.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_client_s_address_is_a_plain_one() {
        assert_eq!(check("https://claude.ai/oauth/client.json", false).as_deref(), Ok("claude.ai"));
        for wrong in [
            "http://claude.ai/c.json",
            "https://claude.ai",
            "https://claude.ai/",
            "https://u@claude.ai/c",
            "https://claude.ai/c#x",
            "https://claude.ai:8443/c",
            "https://127.0.0.1/c",
            "https://[::1]/c",
            "https://169.254.169.254/latest/meta-data",
            "https://claude.ai/a/../c",
            "https://[::ffff:10.0.0.1]/c",
            "ftp://claude.ai/c",
            "https:///c",
            &format!("https://a.test/{}", "x".repeat(600)),
        ] {
            assert!(check(wrong, false).is_err(), "{wrong}");
        }
        assert!(check("https://127.0.0.1:8443/c", true).is_ok());
        // What looks like a number is resolved by some as an address; the resolver judges what comes of it.
        assert!(check("https://2130706433/c", false).is_ok());
    }
}
