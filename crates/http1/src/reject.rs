//! Messages that are refused, and the fixed answers to them.

/// A request that is refused before anything else sees it; the connection is closed behind the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused with {status}: {reason}")]
pub struct Reject {
    /// 400, 405, 411, 413, 414, 417, 431, 501 or 505.
    pub status: u16,
    /// Why, for the log; the client learns only the status.
    pub reason: &'static str,
}

impl Reject {
    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self { status: 400, reason }
    }

    pub(crate) const fn of(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// The whole answer: a small HTML page as nginx makes one, and `Connection: close`. `product` stands below the line of the page.
    #[must_use]
    pub fn answer(&self, server: &str, product: &str) -> Vec<u8> {
        let page = page(self.status, product);
        format!(
            "HTTP/1.1 {} {}\r\nServer: {server}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
            self.status,
            crate::reason::phrase(self.status),
            page.len(),
        )
        .into_bytes()
    }
}

/// The HTML page of a status, in nginx's shape.
#[must_use]
pub fn page(status: u16, product: &str) -> String {
    let reason = nginx_phrase(status);
    format!(
        "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1></center>\r\n<hr><center>{product}</center>\r\n</body>\r\n</html>\r\n"
    )
}

/// nginx's pages differ from the registry's phrases in a few places, and clients match on them.
const fn nginx_phrase(status: u16) -> &'static str {
    match status {
        302 => "Found",
        401 => "Authorization Required",
        404 => "Not Found",
        405 => "Not Allowed",
        408 => "Request Time-out",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        416 => "Requested Range Not Satisfiable",
        431 => "Request Header Or Cookie Too Large",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        other => crate::reason::phrase(other),
    }
}
