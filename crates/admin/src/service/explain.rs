//! Which way a request would take, and what somebody with a scope may see of that.

use usher_model::change::Principal;
use usher_model::kind::{Key, Kind};
use usher_model::live::{Explanation, Sketch};

use super::{Service, ServiceError};

impl Service {
    /// Which way a request would take, asked of the running proxy. Nothing is sent. Whatever lies outside of the principal's scope isn't told of: a route
    /// that takes the request there is none, and what a route inside leads to has no nodes.
    ///
    /// # Errors
    /// The store can't be read, for somebody with a scope.
    pub async fn explain(&self, who: &Principal, sketch: &Sketch) -> Result<Explanation, ServiceError> {
        let mut found = self.live().explain(sketch);
        if who.scope.is_all() {
            return Ok(found);
        }
        let mut near = Vec::new();
        for passed in std::mem::take(&mut found.passed_over) {
            if self.sees(who, Kind::Route, &passed.route.id).await? {
                near.push(passed);
            }
        }
        found.passed_over = near;
        if let Some(upstream) = &mut found.upstream
            && let Some(id) = &upstream.id
            && !self.sees(who, Kind::Upstream, id).await?
        {
            // The route names it; where it leads is somebody else's.
            upstream.nodes.clear();
            upstream.next = None;
        }
        match &found.route {
            Some(route) if !self.sees(who, Kind::Route, &route.id).await? => Ok(Explanation {
                answer: Some("a route outside of your scope takes it".to_owned()),
                passed_over: found.passed_over,
                ..Explanation::default()
            }),
            _ => Ok(found),
        }
    }

    /// Whether a request of this method may be sent through the gateway for this principal. While agents may only look, they send none that could change
    /// something behind it.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], with who switched agents off.
    pub fn may_send(&self, who: &Principal, method: &str) -> Result<(), ServiceError> {
        if matches!(method, "GET" | "HEAD" | "OPTIONS") { Ok(()) } else { self.agents_may_act(who) }
    }

    async fn sees(&self, who: &Principal, kind: Kind, id: &str) -> Result<bool, ServiceError> {
        match self.get(who, &Key::new(kind, id)).await {
            Ok(found) => Ok(found.is_some()),
            Err(ServiceError::Forbidden(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
