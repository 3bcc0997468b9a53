//! Sessions of older clients: rmcp's own, with a bound on their number.
//!
//! An idle session ends by itself; where there are too many, the one that was used longest ago makes room.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::Stream;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError, SessionConfig,
};
use rmcp::transport::streamable_http_server::session::{ServerSseMessage, SessionId, SessionManager};

/// Sessions at the same time.
const MOST: usize = 100;
/// How long a session may be idle: longer than a person may think about a plan.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// The sessions that are open.
pub(crate) struct Sessions {
    inner: LocalSessionManager,
    used: Mutex<HashMap<SessionId, Instant>>,
    most: usize,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::with_room_for(MOST)
    }
}

impl Sessions {
    fn with_room_for(most: usize) -> Self {
        let mut inner = LocalSessionManager::default();
        let mut config = SessionConfig::default();
        config.keep_alive = Some(IDLE);
        config.sse_retry = None;
        inner.session_config = config;
        Self { inner, used: Mutex::default(), most }
    }

    fn note(&self, id: &SessionId) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), Instant::now());
    }

    fn forget(&self, id: &SessionId) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// The sessions that have to go before another may come.
    fn oldest(&self) -> Vec<SessionId> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(&SessionId, &Instant)> = used.iter().collect();
        all.sort_by_key(|(_, at)| **at);
        let surplus = (all.len() + 1).saturating_sub(self.most);
        all.into_iter().take(surplus).map(|(id, _)| id.clone()).collect()
    }
}

impl SessionManager for Sessions {
    type Error = LocalSessionManagerError;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        for id in self.oldest() {
            tracing::info!("ended the MCP session that was used longest ago to make room");
            self.close_session(&id).await?;
        }
        let made = self.inner.create_session().await?;
        self.note(&made.0);
        Ok(made)
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        self.inner.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        let there = self.inner.has_session(id).await?;
        if there {
            self.note(id);
        }
        Ok(there)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        self.forget(id);
        self.inner.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.inner.create_stream(id, message).await
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Self::Error> {
        self.inner.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.inner.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.inner.resume(id, last_event_id).await
    }
}

#[cfg(test)]
mod tests {
    use rmcp::transport::streamable_http_server::session::SessionManager as _;

    use super::Sessions;

    #[tokio::test]
    async fn the_session_used_longest_ago_makes_room() {
        let sessions = Sessions::with_room_for(2);
        let (first, _a) = sessions.create_session().await.unwrap();
        let (second, _b) = sessions.create_session().await.unwrap();
        assert!(sessions.has_session(&first).await.unwrap());
        let (third, _c) = sessions.create_session().await.unwrap();
        assert!(sessions.has_session(&first).await.unwrap(), "used after the second");
        assert!(!sessions.has_session(&second).await.unwrap());
        assert!(sessions.has_session(&third).await.unwrap());
    }
}
