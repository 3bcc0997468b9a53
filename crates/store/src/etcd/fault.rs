//! Why a call to a member failed, told apart by what may have happened to it.

use tonic::{Code, Status};

use crate::StoreError;

/// A failed call.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing was sent, or nothing can have been done.
    Away(String),
    /// It was sent, and no answer came: it may have been done, or may be done yet.
    Lost(String),
    /// etcd refused it; it was not done.
    Refused(Code, String),
}

impl Fault {
    /// Of what a member, or the connection to it, answered.
    pub(super) fn of(status: &Status) -> Self {
        let text = status.message().strip_prefix("etcdserver: ").unwrap_or(status.message()).to_owned();
        match status.code() {
            code @ (Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented) => Self::Refused(code, text),
            // Refused before it was looked at, because the call demands a leader.
            Code::Unavailable if text == "no leader" => Self::Away("it has no leader".to_owned()),
            _ if text.is_empty() => Self::Lost(status.code().description().to_owned()),
            _ => Self::Lost(text),
        }
    }

    /// Whether the wanted revision isn't kept any more.
    pub(super) fn is_compacted(&self) -> bool {
        matches!(self, Self::Refused(Code::OutOfRange, text) if text.contains("compacted"))
    }

    /// What it says.
    pub(super) fn text(&self) -> &str {
        let (Self::Away(text) | Self::Lost(text) | Self::Refused(_, text)) = self;
        text
    }

    /// Whether a user with a new token may do it: the old one ran out, permissions changed, or etcd asks for users since lately.
    pub(super) fn wants_login(&self) -> bool {
        let Self::Refused(code, text) = self else { return false };
        *code == Code::Unauthenticated
            || text.contains("auth: revision in header is old")
            || text.contains("user name is empty")
    }

    /// What a write says of it.
    pub(super) fn of_write(self) -> StoreError {
        match self {
            Self::Refused(Code::PermissionDenied, text) => StoreError::Refused(format!(
                "{text}; grant its user in etcd readwrite to the prefix and to /usher/"
            )),
            other => other.into(),
        }
    }

    /// Whether another member would say the same.
    pub(super) fn is_of_the_cluster(&self) -> bool {
        matches!(self, Self::Refused(code, _) if !matches!(code, Code::Unauthenticated | Code::Unimplemented))
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(text) | Fault::Lost(text) => Self::Unavailable(format!("etcd: {text}")),
            // etcd's own quota, by default 2 GiB.
            Fault::Refused(Code::ResourceExhausted, text) if text.contains("space exceeded") => Self::Full,
            Fault::Refused(Code::ResourceExhausted, _) => Self::Busy,
            Fault::Refused(_, text) => Self::Unavailable(format!("etcd refuses it: {text}")),
        }
    }
}
