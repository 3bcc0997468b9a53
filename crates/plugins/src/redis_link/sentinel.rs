//! Which server sentinels name as the master, or as a replica of it.

use std::rc::Rc;

use redis::Value;
use usher_pipeline::worker::Worker;

use super::settings::{Known, Role};
use super::{Links, Redis, Trouble, login};

/// The server to use; asked for once, and again when it fails. A sentinel that doesn't answer in time is asked last by the next request.
///
/// # Errors
/// No sentinel can say.
pub(super) async fn node_for(
    redis: &Redis,
    worker: &Rc<dyn Worker>,
    links: &Links,
    known: &Known,
) -> Result<(String, u16), Trouble> {
    if let Some(node) = links.master.borrow().as_ref() {
        return Ok(node.clone());
    }
    let mut command = redis::cmd("SENTINEL");
    match known.role {
        Role::Master => command.arg("get-master-addr-by-name"),
        Role::Slave => command.arg("slaves"),
    };
    command.arg(&known.master);
    let mut failed = Trouble::Unreachable(format!("no sentinel knows a master {:?}", known.master));
    for (at, sentinel) in links.in_turn(&known.sentinels) {
        let login = login(known.user.as_deref(), known.password.as_ref(), 0);
        match redis.ask(worker, links, sentinel, login, &command).await {
            Ok(answer) => {
                let node = match known.role {
                    Role::Master => pair(answer),
                    Role::Slave => replica(answer),
                };
                if let Some(node) = node {
                    links.turn.set(at);
                    *links.master.borrow_mut() = Some(node.clone());
                    return Ok(node);
                }
            }
            Err(trouble) => failed = trouble,
        }
    }
    Err(failed)
}

fn pair(answer: Value) -> Option<(String, u16)> {
    let (host, port): (String, String) = redis::from_redis_value(answer).ok()?;
    Some((host, port.parse().ok()?))
}

fn replica(answer: Value) -> Option<(String, u16)> {
    let replicas: Vec<std::collections::HashMap<String, String>> = redis::from_redis_value(answer).ok()?;
    replicas.into_iter().find_map(|replica| {
        let is_up = replica
            .get("flags")
            .is_some_and(|flags| !flags.contains("down") && !flags.contains("disconnected"));
        let host = replica.get("ip").filter(|_| is_up)?;
        Some((host.clone(), replica.get("port")?.parse().ok()?))
    })
}
