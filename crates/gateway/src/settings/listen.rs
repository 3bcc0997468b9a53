//! Addresses to listen on, as people write them.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// One value of a listen option: an address, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Listen here; port 0 takes a free one.
    On(SocketAddr),
    /// Don't listen at all.
    Off,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::On(address));
        }
        if let Ok(port) = text.parse::<u16>() {
            return Ok(Self::On(SocketAddr::from(([127, 0, 0, 1], port))));
        }
        if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
            return Ok(Self::On(SocketAddr::from(([127, 0, 0, 1], port))));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Err(format!("{ip} has no port; write {ip}:9080, or off"));
        }
        Err(format!(
            "{text} is no address to listen on; write IP:PORT such as 127.0.0.1:9080, a port alone for 127.0.0.1, or off"
        ))
    }
}

/// The same for clap.
pub(crate) fn parse_listen(text: &str) -> Result<Listen, String> {
    text.parse()
}

/// The addresses that a repeated option names: `off` alone means none.
///
/// # Errors
/// `off` beside an address, which contradicts itself.
pub(crate) fn addresses(option: &str, given: &[Listen]) -> Result<Vec<SocketAddr>, String> {
    let on: Vec<SocketAddr> = given
        .iter()
        .filter_map(|listen| match listen {
            Listen::On(address) => Some(*address),
            Listen::Off => None,
        })
        .collect();
    if !on.is_empty() && on.len() != given.len() {
        return Err(format!(
            "{option} off contradicts {option} {}; give one of them",
            on.first().map_or_else(String::new, ToString::to_string)
        ));
    }
    Ok(on)
}

#[cfg(test)]
mod tests {
    use super::{Listen, addresses};

    #[test]
    fn listen_options_are_read_as_people_write_them() {
        let on = |text: &str| Listen::On(text.parse().unwrap());
        for (text, wanted) in [
            ("off", Ok(Listen::Off)),
            ("127.0.0.1:0", Ok(on("127.0.0.1:0"))),
            ("[::1]:9080", Ok(on("[::1]:9080"))),
            ("9080", Ok(on("127.0.0.1:9080"))),
            ("localhost:1", Ok(on("127.0.0.1:1"))),
        ] {
            assert_eq!(text.parse::<Listen>(), wanted, "{text}");
        }
        for text in ["", "127.0.0.1", "a.test:80", "70000", "on"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn off_beside_an_address_contradicts_itself() {
        let on = Listen::On("127.0.0.1:1".parse().unwrap());
        assert!(addresses("--chat-listen", &[Listen::Off, on]).is_err());
        assert_eq!(addresses("--chat-listen", &[Listen::Off]), Ok(vec![]));
    }
}
