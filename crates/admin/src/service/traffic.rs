//! What was served, for whoever may see it: the proxy's time series, kept to the routes of a scope, beside the same time somewhat earlier.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use usher_model::change::Principal;
use usher_model::kind::Kind;
use usher_model::traffic::{Ask, LONGEST_SECS, Measure, Portion, Row, Traffic};

use super::gateways::{self, Gateways};
use super::{Service, ServiceError, unix_ms};

/// Rows of the earlier time that are looked through for those that are shown.
const MOST_BEFORE: usize = 5_000;

/// What was served, and what was served before that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// The answer to the question itself.
    pub traffic: Traffic,
    /// The earlier time as a whole; `None` where none was asked for.
    pub before: Option<Measure>,
    /// For each row of the answer, what it had in the earlier time: nothing where it wasn't there.
    pub rows_before: Vec<Measure>,
    /// Of how many gateways all that is; `None` where the settings name no others, so that it is of this one.
    pub gateways: Option<Gateways>,
}

impl Service {
    /// What was served. With `earlier`, also what was served so many seconds before that, row by row. A time that nothing is kept of is cut off.
    ///
    /// # Errors
    /// The store can't be read, for somebody with a scope.
    pub fn traffic<'a>(
        &'a self,
        who: &'a Principal,
        mut ask: Ask,
        earlier: Option<u64>,
    ) -> BoxFuture<'a, Result<Compared, ServiceError>> {
        Box::pin(async move {
            if !who.scope.is_all() {
                // What took no route, and what is counted together with others, is nobody's with a scope.
                let seen = self.list(who, Kind::Route).await?;
                ask.only.routes = Some(seen.into_iter().map(|route| route.key.id).collect());
            }
            let now = unix_ms() / 1000 + 1;
            ask.to = ask.to.min(now);
            ask.from = ask.from.max(now.saturating_sub(LONGEST_SECS)).min(ask.to);
            let (others, mut gateways) = self.ask_gateways(&ask).await;
            let traffic = self.add_up(ask.clone(), others).await?;
            let Some(earlier) = earlier else {
                return Ok(Compared { traffic, gateways, ..Compared::default() });
            };
            let past = |second: u64| second.saturating_sub(earlier);
            let ask = Ask {
                from: past(traffic.from),
                to: past(traffic.to.min(now)),
                step: 0,
                points: 0,
                limit: MOST_BEFORE,
                ..ask
            };
            let (others, also) = self.ask_gateways(&ask).await;
            gateways = gateways::both(gateways, also);
            let before = self.add_up(ask, others).await?;
            let rows: HashMap<Vec<String>, Measure> =
                before.rows.into_iter().map(|Row { key, total, .. }| (key, total)).collect();
            let of = |row: &Row| rows.get(&row.key).copied().unwrap_or_default();
            let rows_before = traffic.rows.iter().map(of).collect();
            Ok(Compared { traffic, before: Some(before.total), rows_before, gateways })
        })
    }

    async fn add_up(&self, ask: Ask, others: Vec<Portion>) -> Result<Traffic, ServiceError> {
        let live = Arc::clone(self.live());
        // It is arithmetic over megabytes, beside whoever else is answered here.
        tokio::task::spawn_blocking(move || live.series_with(&ask, &others))
            .await
            .map_err(|_| ServiceError::Damaged("the traffic could not be added up".to_owned()))
    }
}
