//! Whole numbers as JSON schema means them: `1.0` is one, and the sentence about any other names the member and its bounds.

use std::fmt::Display;

use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

/// An integer type and its bounds.
pub(super) trait Whole: TryFrom<i128> + Display {
    const LEAST: Self;
    const MOST: Self;
}

macro_rules! bounds {
    ($($kind:ty),*) => { $(
        impl Whole for $kind {
            const LEAST: Self = <$kind>::MIN;
            const MOST: Self = <$kind>::MAX;
        }
    )* };
}

bounds!(u8, u16, u32, u64, usize, i64);

/// The whole number that a value is.
///
/// # Errors
/// The sentence, which begins with `what`.
pub(super) fn whole<T: Whole>(what: impl Display, value: &Value) -> Result<T, String> {
    let number = value.as_number();
    number.and_then(integer).and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        let given = number.map_or_else(|| "something else".to_owned(), Number::to_string);
        format!("{what} has to be a whole number from {} to {}, not {given}", T::LEAST, T::MOST)
    })
}

fn integer(number: &Number) -> Option<i128> {
    let exact = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    #[expect(clippy::cast_possible_truncation, reason = "a whole number; what is too large stays too large")]
    exact.or_else(|| number.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i128))
}

/// Readers of single members, named as serde wants them.
macro_rules! readers {
    ($($reader:ident: $kind:ty = $member:literal;)*) => { $(
        pub(super) fn $reader<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$kind, D::Error> {
            let value = Value::deserialize(deserializer)?;
            whole(concat!("`", $member, "`"), &value).map_err(serde::de::Error::custom)
        }
    )* };
}

readers! {
    priority: i64 = "priority";
    status: u8 = "status";
    pool_size: usize = "keepalive_pool.size";
    pool_requests: u64 = "keepalive_pool.requests";
}

pub(super) fn retries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    value.map(|value| whole("`retries`", &value)).transpose().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::resource::{Route, Upstream};

    #[test]
    fn a_whole_number_may_be_written_as_a_fraction() {
        let route = Route::from_value(&json!({ "uri": "/a", "priority": -1.0, "status": 0.0 })).unwrap();
        assert_eq!((route.priority, route.is_on()), (-1, false));
        let upstream = Upstream::from_value(&json!({
            "nodes": [{ "host": "a", "port": 80.0, "weight": 2.0, "priority": 3.0 }], "retries": 4.0,
            "keepalive_pool": { "size": 5.0, "requests": 6.0 },
        }))
        .unwrap();
        let node = &upstream.nodes[0];
        assert_eq!((node.port, node.weight, node.priority), (Some(80), 2, 3));
        assert_eq!(upstream.retries, Some(4));
        assert_eq!((upstream.keepalive_pool.size, upstream.keepalive_pool.requests), (5, 6));
        assert_eq!(Upstream::from_value(&json!({ "nodes": { "a": 7.0 } })).unwrap().nodes[0].weight, 7);
    }

    #[test]
    fn a_number_out_of_bounds_is_told_with_its_member_and_the_bounds() {
        let huge = 1_u64 << 62;
        let route = |value: Value| Route::from_value(&value).unwrap_err().to_string();
        let upstream = |value: Value| Upstream::from_value(&value).unwrap_err().to_string();
        for (told, wanted) in [
            (
                route(json!({ "uri": "/a", "priority": 1.5 })),
                "`priority` has to be a whole number from -9223372036854775808 to 9223372036854775807, not 1.5",
            ),
            (
                route(json!({ "uri": "/a", "status": 256 })),
                "`status` has to be a whole number from 0 to 255, not 256",
            ),
            (
                upstream(json!({ "nodes": {}, "retries": 1_099_511_627_776_u64 })),
                "`retries` has to be a whole number from 0 to 4294967295, not 1099511627776",
            ),
            (
                upstream(json!({ "nodes": { "a:80": huge } })),
                "the weight of \"a:80\" has to be a whole number from 0 to 4294967295, not 4611686018427387904",
            ),
            (
                upstream(json!({ "nodes": [{ "host": "b", "weight": 1 }, { "host": "a", "weight": huge }] })),
                "`nodes[1].weight` has to be a whole number from 0 to 4294967295, not 4611686018427387904",
            ),
            (
                upstream(json!({ "nodes": [{ "host": "a", "weight": 1, "port": 65_536 }] })),
                "`nodes[0].port` has to be a whole number from 0 to 65535, not 65536",
            ),
            (
                upstream(json!({ "nodes": [{ "host": "a", "weight": "x" }] })),
                "`nodes[0].weight` has to be a whole number from 0 to 4294967295, not something else",
            ),
            (upstream(json!({ "nodes": [{ "host": "a" }] })), "`nodes[0].weight` is missing"),
            (
                upstream(json!({ "nodes": {}, "keepalive_pool": { "requests": 1e300 } })),
                "`keepalive_pool.requests` has to be a whole number from 0 to 18446744073709551615, not 1e+300",
            ),
        ] {
            assert_eq!(told, wanted);
        }
    }
}
