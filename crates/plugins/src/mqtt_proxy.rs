//! `mqtt-proxy` reads the first packet of MQTT clients on a stream route, and admits those that speak the version it is told.
//!
//! The packet (CONNECT, of MQTT 3.1, 3.1.1 and 5) is read up to the client's identifier and handed on as it came. The identifier is the variable
//! `$mqtt_client_id`: an upstream of `"type": "chash"` with `"key": "mqtt_client_id"` sends a client to the same node each time, and by its address
//! where it has none; rules of `traffic-split` and log formats may name it too. Whoever says something else is closed, and the log of the
//! process says why.
//!
//! Example: `{"protocol_name": "MQTT", "protocol_level": 4}`

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::env::Env;
use usher_pipeline::plugin::{BuildError, Phases, Plugin};
use usher_pipeline::spec::Spec;
use usher_pipeline::stream::{OnConnections, Preread, Session, Verdict};

/// `mqtt-proxy`.
pub(crate) static PLUGIN: Spec = Spec::of::<MqttProxy>().only_on_connections::<MqttProxy>();

/// Admits MQTT clients of one version to a stream route, and makes their identifiers known.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The name of the protocol that clients have to say: `MQTT`, or `MQIsdp` for MQTT 3.1.
    #[serde(default = "usual_name")]
    protocol_name: String,
    /// The version that clients have to say: 4 is MQTT 3.1.1, 5 is MQTT 5, 3 is MQTT 3.1.
    #[schemars(range(min = 0, max = 255))]
    protocol_level: u16,
}

fn usual_name() -> String {
    "MQTT".to_owned()
}

struct MqttProxy {
    name: String,
    level: u16,
}

impl Plugin for MqttProxy {
    const NAME: &'static str = "mqtt-proxy";
    const PRIORITY: i32 = 1000;
    const PHASES: Phases<Self> = Phases::NONE;
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self { name: config.protocol_name, level: config.protocol_level })
    }
}

impl OnConnections for MqttProxy {
    const PREREAD: Option<Preread<Self>> = Some(Self::admit);
}

/// CONNECT, whose four flags are zero (MQTT 5, section 2.1).
const CONNECT: u8 = 0x10;
/// The version that has properties in front of the identifier.
const WITH_PROPERTIES: u8 = 5;
/// As much of a wrong name as the log is told.
const SHOWN: usize = 32;

/// Why there is no identifier yet.
enum Stopped {
    /// The packet goes on.
    More,
    /// It isn't what is wanted here.
    Refused(Cow<'static, str>),
}

impl From<&'static str> for Stopped {
    fn from(reason: &'static str) -> Self {
        Self::Refused(reason.into())
    }
}

impl MqttProxy {
    fn admit(&self, session: &mut Session) -> Verdict {
        match self.identifier(&session.first) {
            Ok(identifier) => {
                // A client without a name goes by its address.
                session.mqtt_client_id = (!identifier.is_empty()).then(|| identifier.to_owned());
                Verdict::Continue
            }
            Err(Stopped::More) => Verdict::Read,
            Err(Stopped::Refused(reason)) => {
                session.refused = Some(reason);
                Verdict::Close
            }
        }
    }

    /// The client's identifier: the first member of the payload (MQTT 3.1.1 and 5, section 3.1.3.1).
    fn identifier<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, Stopped> {
        let mut packet = Packet { bytes, at: 0, end: usize::MAX };
        let kind = packet.byte()?;
        if kind != CONNECT {
            let said =
                format!("an MQTT client begins with the byte {CONNECT:#04x}, this one with {kind:#04x}");
            return Err(Stopped::Refused(said.into()));
        }
        let length = packet.number()?;
        packet.end = packet.at + length;
        let name = packet.text()?;
        if name != self.name.as_bytes() {
            let shown = String::from_utf8_lossy(name.get(..SHOWN).unwrap_or(name));
            let said = format!("protocol_name is {:?}, and the client says {shown:?}", self.name);
            return Err(Stopped::Refused(said.into()));
        }
        let level = packet.byte()?;
        if u16::from(level) != self.level {
            let said = format!("protocol_level is {}, and the client says {level}", self.level);
            return Err(Stopped::Refused(said.into()));
        }
        let flags = packet.byte()?;
        if flags & 1 != 0 {
            return Err("the reserved flag of the client's CONNECT is set".into());
        }
        // The keep-alive.
        packet.take(2)?;
        if level == WITH_PROPERTIES {
            let length = packet.number()?;
            packet.take(length)?;
        }
        let identifier = std::str::from_utf8(packet.text()?).ok().filter(|text| !text.contains('\0'));
        identifier.ok_or_else(|| "the client's identifier is no UTF-8, or has a NUL".into())
    }
}

/// A packet that may still be on its way, read from its start.
struct Packet<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where it says that it ends.
    end: usize,
}

impl<'a> Packet<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stopped> {
        let end = self.at.saturating_add(count);
        if end > self.end {
            return Err("the client's CONNECT ends in the middle of a field".into());
        }
        let taken = self.bytes.get(self.at..end).ok_or(Stopped::More)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Stopped> {
        self.take(1)?.first().copied().ok_or(Stopped::More)
    }

    /// A variable byte integer: seven bits a byte, the lowest first, four bytes at most (section 1.5.5).
    fn number(&mut self) -> Result<usize, Stopped> {
        let mut number = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a length in the client's CONNECT has more than four bytes".into())
    }

    /// A text with its length in two bytes in front.
    fn text(&mut self) -> Result<&'a [u8], Stopped> {
        let (high, low) = (self.byte()?, self.byte()?);
        self.take(usize::from(u16::from_be_bytes([high, low])))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::{Value, json};
    use usher_model::variables::Variables as _;
    use usher_pipeline::harness::try_connections;
    use usher_pipeline::stream::{Progress, Session, StreamPipeline, Verdict};

    use super::PLUGIN;

    fn pipeline(body: Value) -> StreamPipeline {
        try_connections(&PLUGIN, body).unwrap()
    }

    /// What becomes of these bytes: the verdict, the identifier, the reason of a refusal.
    fn judged(pipeline: &StreamPipeline, bytes: &[u8]) -> (Verdict, Option<String>, String) {
        let address = "127.0.0.1:4000".parse().unwrap();
        let mut session = Session::new("TCP", address, address, Instant::now());
        session.first.extend_from_slice(bytes);
        let verdict = pipeline.preread(&mut session, &mut Progress::default());
        assert_eq!(&session.first[..], bytes, "what was read ahead is handed on as it came");
        let id = session.variable("mqtt_client_id").map(|id| String::from_utf8(id.into_owned()).unwrap());
        (verdict, id, session.refused.unwrap_or_default().into_owned())
    }

    fn text(text: &[u8]) -> Vec<u8> {
        [&u16::try_from(text.len()).unwrap().to_be_bytes(), text].concat()
    }

    /// A CONNECT of this name and version with these properties, and what follows the identifier.
    fn connect(name: &str, level: u8, properties: Option<&[u8]>, id: &[u8], rest: &[u8]) -> Vec<u8> {
        let properties = properties.map_or_else(Vec::new, |all| [&number(all.len())[..], all].concat());
        let body = [&text(name.as_bytes())[..], &[level, 2, 0, 60], &properties, &text(id), rest].concat();
        [&[0x10][..], &number(body.len()), &body].concat()
    }

    fn number(mut number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let byte = u8::try_from(number % 128).unwrap();
            number /= 128;
            bytes.push(if number == 0 { byte } else { byte | 0x80 });
            if number == 0 {
                return bytes;
            }
        }
    }

    #[test]
    fn each_version_is_understood_wherever_it_is_cut() {
        let user = [&b"\x26"[..], &text(b"key"), &text(&[b'v'; 300])].concat();
        for (name, level, properties, id) in [
            ("MQTT", 4, None, &b"sensor-7"[..]),
            ("MQTT", 5, Some(&b""[..]), b"sensor-7"),
            ("MQTT", 5, Some(&user[..]), "f\u{fc}hler".as_bytes()),
            ("MQIsdp", 3, None, b"old"),
            ("MQTT", 4, None, b""),
        ] {
            let pipeline = pipeline(json!({ "protocol_name": name, "protocol_level": level }));
            let whole = connect(name, level, properties, id, b"\0\x04will and so on");
            let needed = whole.len() - 16;
            let wanted = String::from_utf8(id.to_vec()).ok().filter(|id| !id.is_empty());
            for cut in 0..needed {
                let seen = judged(&pipeline, &whole[..cut]);
                assert_eq!(seen, (Verdict::Read, None, String::new()), "{name} {level} cut at {cut}");
            }
            for cut in needed..=whole.len() {
                let seen = judged(&pipeline, &whole[..cut]);
                assert_eq!(seen, (Verdict::Continue, wanted.clone(), String::new()), "{name} {level} {cut}");
            }
        }
    }

    #[test]
    fn what_is_something_else_is_closed_with_the_reason() {
        let pipeline = pipeline(json!({ "protocol_level": 4 }));
        let good = connect("MQTT", 4, None, b"a", b"");
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        for (bytes, reason) in [
            (b"GET / HTTP/1.1\r\n".to_vec(), "an MQTT client begins with the byte 0x10, this one with 0x47"),
            (with(0, 0x11), "an MQTT client begins with the byte 0x10, this one with 0x11"),
            (vec![0x10, 0x80, 0x80, 0x80, 0x80], "a length in the client's CONNECT has more than four bytes"),
            (with(1, 3), "the client's CONNECT ends in the middle of a field"),
            (with(1, 12), "the client's CONNECT ends in the middle of a field"),
            (with(4, b'm'), "protocol_name is \"MQTT\", and the client says \"mQTT\""),
            (
                connect("MQIsdp", 3, None, b"a", b""),
                "protocol_name is \"MQTT\", and the client says \"MQIsdp\"",
            ),
            (with(8, 5), "protocol_level is 4, and the client says 5"),
            (with(9, 3), "the reserved flag of the client's CONNECT is set"),
            (connect("MQTT", 4, None, b"\xff", b""), "the client's identifier is no UTF-8, or has a NUL"),
            (connect("MQTT", 4, None, b"a\0", b""), "the client's identifier is no UTF-8, or has a NUL"),
        ] {
            assert_eq!(judged(&pipeline, &bytes), (Verdict::Close, None, reason.to_owned()), "{bytes:?}");
        }
        let long = connect(&"x".repeat(200), 4, None, b"a", b"");
        assert!(judged(&pipeline, &long).2.ends_with(&format!("{:?}", "x".repeat(32))));
    }
}
