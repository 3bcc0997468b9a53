//! The same limit on stream routes: how many connections of a client are open at the same time.
//!
//! There are no variables of requests there, so that numbers are fixed and the key is made of variables of connections; and connections are counted
//! in this process.

use std::sync::atomic::Ordering;
use std::time::Duration;

use usher_pipeline::plugin::BuildError;
use usher_pipeline::stream::{Finished, OnConnections, Preread, Session, Verdict};

use super::{LimitConn, LimitKey, OnTheWay, Place, Room, SHORTEST_WAIT};
use crate::limit_key::{Key, KeyText, Number, network};

/// Whose notes say how long a connection has waited.
static WAITED: u8 = 0;

impl OnConnections for LimitConn {
    const PREREAD: Option<Preread<Self>> = Some(Self::admit);
    const LOG: Option<Finished<Self>> = Some(Self::release);

    fn check_on_connections(&self) -> Result<(), BuildError> {
        if let Place::Remote(..) = self.place {
            return Err(BuildError::new(
                "property \"policy\" validation failed: on stream routes connections are counted in this process; set it to \"local\"",
            ));
        }
        self.on_connections().map(drop)
    }
}

impl LimitConn {
    /// The one limit that means something on connections.
    fn on_connections(&self) -> Result<(Room, &Key), BuildError> {
        let bad = |member: &str, what: &str| {
            BuildError::new(format!("property \"{member}\" validation failed: on stream routes {what}"))
        };
        let [limit] = self.limits.as_slice() else {
            return Err(bad("rules", "there is one limit: write conn, burst and key instead"));
        };
        let LimitKey::Key(key) = &limit.key else {
            return Err(bad("rules", "there is one limit: write conn, burst and key instead"));
        };
        let (Number::Fixed(conn), Number::Fixed(burst)) = (&limit.conn, &limit.burst) else {
            return Err(bad(
                "conn",
                "conn and burst are numbers, there is no request whose variables could say them",
            ));
        };
        Ok((Room { conn: *conn, most: conn.saturating_add(*burst) }, key))
    }

    fn admit(&self, session: &mut Session) -> Verdict {
        let Place::Local(counters, space) = &self.place else { return Verdict::Close };
        // It was checked when it was built.
        let Ok((room, key)) = self.on_connections() else { return Verdict::Close };
        let key = match key.among(session, session.client.ip()) {
            KeyText::Network(address) => counters.key(**space, (2_u8, network(address))),
            KeyText::Text(text) => counters.key(**space, (3_u8, &*text)),
            KeyText::Constant => counters.key(**space, 4_u8),
        };
        let count = counters.with(
            key,
            session.came,
            |_| OnTheWay(0),
            |on, _| {
                let has_room = on.0 < room.most;
                on.0 += u64::from(has_room);
                has_room.then_some(on.0)
            },
        );
        let Some(count) = count else { return Verdict::Close };
        session.note(self, key);
        let wait = self.wait(count, &room);
        if wait < SHORTEST_WAIT {
            return Verdict::Continue;
        }
        // How long it waited is no part of how long it takes.
        session.note(&WAITED, u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        Verdict::Wait(wait)
    }

    fn release(&self, session: &Session) {
        let Place::Local(counters, _) = &self.place else { return };
        let now = session.came + session.lasted;
        let mut counted = false;
        for key in session.noted(self) {
            counted = true;
            counters.with(key, now, |_| OnTheWay(0), |on, _| on.0 = on.0.saturating_sub(1));
        }
        if counted && !self.only_use_default_delay {
            let waited = Duration::from_nanos(session.noted(&WAITED).sum());
            let unit = f64::from_bits(self.unit_delay.load(Ordering::Relaxed));
            let unit = f64::midpoint(unit, session.lasted.saturating_sub(waited).as_secs_f64());
            self.unit_delay.store(unit.to_bits(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};
    use usher_pipeline::harness::try_connections;
    use usher_pipeline::stream::{Progress, Session, StreamPipeline, Verdict};

    use super::super::PLUGIN;

    fn pipeline(body: Value) -> Result<StreamPipeline, String> {
        try_connections(&PLUGIN, body).map_err(|error| error.message)
    }

    fn session(client: &str, server: &str) -> Session {
        let address = |ip, port| format!("{ip}:{port}").parse().unwrap();
        Session::new("TCP", address(client, 4000), address(server, 9100), Instant::now())
    }

    fn ask(pipeline: &StreamPipeline, session: &mut Session) -> Verdict {
        pipeline.preread(session, &mut Progress::default())
    }

    #[test]
    fn connections_wait_beyond_conn_are_closed_beyond_burst_and_released_at_their_end() {
        let body = json!({
            "conn": 1, "burst": 1, "default_conn_delay": 0.5, "key": "remote_addr", "only_use_default_delay": true
        });
        let pipeline = pipeline(body).unwrap();
        for _ in 0..3 {
            let mut open: Vec<Session> = (0..3).map(|_| session("192.0.2.1", "10.0.0.1")).collect();
            let verdicts: Vec<Verdict> = open.iter_mut().map(|one| ask(&pipeline, one)).collect();
            let wanted = [Verdict::Continue, Verdict::Wait(Duration::from_millis(500)), Verdict::Close];
            assert_eq!(verdicts, wanted);
            let mut other = session("192.0.2.2", "10.0.0.1");
            assert_eq!(ask(&pipeline, &mut other), Verdict::Continue);
            open.push(other);
            open.iter().for_each(|one| pipeline.log(one));
        }
    }

    #[test]
    fn connections_to_one_address_are_counted_together_by_server_addr() {
        let body = json!({ "conn": 1, "burst": 0, "default_conn_delay": 0.5, "key": "server_addr" });
        let pipeline = pipeline(body).unwrap();
        let mut first = session("192.0.2.1", "10.0.0.1");
        assert_eq!(ask(&pipeline, &mut first), Verdict::Continue);
        assert_eq!(ask(&pipeline, &mut session("192.0.2.2", "10.0.0.1")), Verdict::Close);
        assert_eq!(ask(&pipeline, &mut session("192.0.2.2", "10.0.0.2")), Verdict::Continue);
    }

    #[test]
    fn connections_are_told_apart_by_any_variables_of_theirs() {
        for (kind, key, same) in [
            ("var", "server_port", true),
            ("var", "remote_port", false),
            ("var", "ssl_server_name", true),
            ("var_combination", "$remote_addr $server_addr", true),
            ("var_combination", "$remote_port $server_addr", false),
            ("var_combination", "$ssl_server_name $mqtt_client_id", true),
        ] {
            let body =
                json!({ "conn": 1, "burst": 0, "default_conn_delay": 0.5, "key_type": kind, "key": key });
            let pipeline = pipeline(body).unwrap();
            let mut first = session("192.0.2.1", "10.0.0.1");
            assert_eq!(ask(&pipeline, &mut first), Verdict::Continue, "{key}");
            let mut second = session("192.0.2.1", "10.0.0.1");
            second.client.set_port(4001);
            assert_eq!(ask(&pipeline, &mut second) == Verdict::Close, same, "{key}");
        }
    }

    #[test]
    fn what_means_nothing_on_connections_is_refused_by_name() {
        let whole = |more: Value| {
            let mut body = json!({ "conn": 1, "burst": 0, "default_conn_delay": 1, "key": "remote_addr" });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            pipeline(body).unwrap_err()
        };
        for (more, member) in [
            (json!({ "policy": "redis", "redis_host": "127.0.0.1" }), "policy"),
            (json!({ "conn": "${http_x ?? 1}" }), "conn"),
        ] {
            let said = whole(more);
            assert!(
                said.contains(&format!("property \"{member}\" validation failed: on stream routes")),
                "{said}"
            );
        }
    }
}
