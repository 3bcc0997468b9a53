//! A script that Redis runs as one step: sent by its digest, and as a whole where a node doesn't know it yet.

use aws_lc_rs::digest;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, Value};

/// A script on one key.
pub(crate) struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    /// A script of this text.
    pub(crate) fn new(text: &'static str) -> Self {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        Self { text, digest: hex(digest.as_ref()) }
    }

    /// Sends it. One round trip, but for a node that has never seen it.
    pub(super) async fn send(
        &self,
        connection: &mut MultiplexedConnection,
        key: &[u8],
        arguments: &[String],
        asking: bool,
    ) -> RedisResult<Value> {
        let command = |name: &str, what: &str| {
            let mut command = redis::cmd(name);
            command.arg(what).arg(1).arg(key);
            for argument in arguments {
                command.arg(argument);
            }
            command
        };
        let answer = send(connection, &command("EVALSHA", &self.digest), asking).await;
        match answer {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                send(connection, &command("EVAL", self.text), asking).await
            }
            other => other,
        }
    }
}

/// Sends a command, with `ASKING` right in front of it where a cluster is moving the key.
async fn send(connection: &mut MultiplexedConnection, command: &Cmd, asking: bool) -> RedisResult<Value> {
    if !asking {
        return command.query_async(connection).await;
    }
    let mut both = redis::pipe();
    both.cmd("ASKING").ignore().add_command(command.clone());
    let (value,): (Value,) = both.query_async(connection).await?;
    Ok(value)
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String can't fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
