//! What the fields of a head say about its framing and its connection, gathered while they are read.

use crate::field::tokens;
use crate::head::Span;

/// Gathered facts. Places count from the first field.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) host: Option<Span>,
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    /// Whether `Connection` names the upgrade.
    pub(crate) upgrade_token: bool,
    pub(crate) upgrade: bool,
    /// Whether the last `Upgrade` is to WebSocket.
    pub(crate) websocket: bool,
    pub(crate) expect: bool,
}

impl Facts {
    /// Those of no field.
    pub(crate) const NONE: Self = Self {
        host: None,
        length: None,
        chunked: false,
        close: false,
        keep_alive: false,
        upgrade_token: false,
        upgrade: false,
        websocket: false,
        expect: false,
    };

    /// What a `Connection` field says.
    #[inline]
    pub(crate) fn look_at_connection(&mut self, value: &[u8]) {
        match value {
            // What nearly everybody says.
            b"keep-alive" => self.keep_alive = true,
            b"close" => self.close = true,
            _ => {
                for token in tokens(value) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    self.upgrade_token |= token.eq_ignore_ascii_case(b"upgrade");
                }
            }
        }
    }

    /// What an `Upgrade` field says.
    pub(crate) fn look_at_upgrade(&mut self, value: &[u8]) {
        self.upgrade = true;
        self.websocket = value.eq_ignore_ascii_case(b"websocket");
    }
}
