//! What a schema can't say of a stream route.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::{plain, text};
use crate::schema::Violation;

pub(super) fn check(value: &Value) -> Result<(), Violation> {
    let id_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let superior = value.pointer("/protocol/superior_id").map(id_text);
    if superior.is_some() && superior == value.get("id").map(id_text) {
        let sentence = "stream route can not set itself as superior_id".to_owned();
        return Err(plain(sentence, "protocol/superior_id"));
    }
    for member in ["remote_addr", "server_addr"] {
        let address = text(value, member).filter(|address| !crate::reference::is_reference(address));
        if let Some(address) = address
            && address.parse::<IpAddr>().is_err()
            && address.parse::<IpNet>().is_err()
        {
            return Err(plain(format!("invalid {member}: {address}"), member));
        }
    }
    Ok(())
}
