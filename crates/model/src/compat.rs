//! Behaviours of APISIX that are unsafe or only cosmetic, each behind a name.
//!
//! `compat: apisix` in `config.yaml` turns all of them on; a list turns on those it names.

/// One behaviour that Usher shows only when asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Behaviour {
    /// The Admin API also takes its key from the query argument `api_key` or the cookie `x_api_key`.
    KeyInQueryOrCookie,
    /// The Admin API answers with `Access-Control-Allow-Origin: *` and to every preflight.
    AdminCors,
    /// `X-Real-IP` of a client on loopback is believed.
    RealIpFromLoopback,
    /// Upstreams over https are not verified unless `tls.verify` says so, and neither are the servers of `tcp-logger` and `syslog`.
    UnverifiedUpstreams,
    /// `Server: APISIX/3.18.0` on every answer, and `openresty` on error pages.
    ApisixNames,
    /// Well-known admin keys may be configured.
    KnownAdminKeys,
    /// Secrets in a store that is shared with an APISIX are written in its form: AES-CBC with the key as IV, only where APISIX does so.
    ApisixEncryption,
    /// `hmac-auth` asks only for a signed `Date`, or for what `signed_headers` says and nothing else.
    UnsignedHmacTarget,
    /// `jwe-decrypt` also takes tokens whose header isn't part of what was authenticated, as APISIX made them.
    JweWithoutAad,
    /// Plugins send credentials to identity providers over plain http without being told that they may.
    PlainCredentials,
}

impl Behaviour {
    /// Every behaviour with the name by which `config.yaml` knows it.
    pub const ALL: [(&'static str, Self); 10] = [
        ("key-in-query-or-cookie", Self::KeyInQueryOrCookie),
        ("admin-cors", Self::AdminCors),
        ("real-ip-from-loopback", Self::RealIpFromLoopback),
        ("unverified-upstreams", Self::UnverifiedUpstreams),
        ("apisix-names", Self::ApisixNames),
        ("known-admin-keys", Self::KnownAdminKeys),
        ("apisix-encryption", Self::ApisixEncryption),
        ("unsigned-hmac-target", Self::UnsignedHmacTarget),
        ("jwe-without-aad", Self::JweWithoutAad),
        ("plain-http-credentials", Self::PlainCredentials),
    ];
}

/// Which behaviours are on. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compat(u32);

impl Compat {
    /// None: safe everywhere.
    pub const NONE: Self = Self(0);

    /// All of them: `compat: apisix`.
    #[must_use]
    pub fn apisix() -> Self {
        Behaviour::ALL.into_iter().fold(Self::NONE, |on, (_, behaviour)| on.with(behaviour))
    }

    /// The same with one more.
    #[must_use]
    pub const fn with(self, behaviour: Behaviour) -> Self {
        Self(self.0 | 1 << behaviour as u8)
    }

    /// Whether this one is on.
    #[must_use]
    pub const fn has(self, behaviour: Behaviour) -> bool {
        self.0 & 1 << behaviour as u8 != 0
    }
}

/// The version that clients of APISIX see under [`Behaviour::ApisixNames`].
pub const APISIX_VERSION: &str = "3.18.0";
