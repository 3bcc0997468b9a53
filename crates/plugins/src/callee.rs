//! Addresses to which plugins send secrets, checked when they are written.
//!
//! What a name resolves to is judged again at every connection, by the dialer that all of the gateway's calls go through.

use std::net::IpAddr;

use usher_model::compat::Behaviour;
use usher_pipeline::env::Env;
use usher_pipeline::plugin::BuildError;

use crate::addresses::{authority, check_url};

/// Checks an address to which secrets are sent: over plain http they go only to this machine, unless somebody allowed it.
///
/// # Errors
/// As for [`check_url`], and where the secrets could be read on their way.
pub(crate) fn check_confidential(
    member: &str,
    url: &str,
    allow_plain: bool,
    env: &Env<'_>,
) -> Result<(), BuildError> {
    check_url(member, url, env)?;
    if is_confidential(url) || allow_plain || env.process().compat().has(Behaviour::PlainCredentials) {
        return Ok(());
    }
    Err(BuildError::new(format!(
        "property \"{member}\" validation failed: {url:?} is plain http, and secrets are sent there; write https://, or set \"allow_plain_http\" to true"
    )))
}

/// Whether what is sent there stays between the two: https, or this very machine.
pub(crate) fn is_confidential(url: &str) -> bool {
    let Ok((host, _)) = authority(url) else { return false };
    let is_local = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    is_local || url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

#[cfg(test)]
mod tests {
    use super::is_confidential;

    #[test]
    fn secrets_go_over_tls_or_stay_on_the_machine() {
        for (url, wanted) in [
            ("https://a.test", true),
            ("HTTPS://a.test", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://localhost/", true),
            ("http://a.test", false),
            ("http://localhost.evil.test", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_confidential(url), wanted, "{url}");
        }
    }
}
