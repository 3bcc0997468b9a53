//! The times in a token (RFC 7519, section 4.1): from when and until when it is valid.

use serde_json::{Map, Value};

/// How the times are judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// How far the clocks may differ, in seconds.
    pub leeway_secs: u64,
    /// Whether `exp` has to be there.
    pub needs_exp: bool,
    /// Whether `nbf` has to be there.
    pub needs_nbf: bool,
}

impl Times {
    /// Judges a token's `exp` and `nbf` at `unix_ms`.
    ///
    /// # Errors
    /// What is wrong, for a log.
    pub fn check(&self, claims: &Map<String, Value>, unix_ms: u64) -> Result<(), &'static str> {
        let now = unix_ms as f64 / 1000.0;
        let leeway = self.leeway_secs as f64;
        match claims.get("exp") {
            None if self.needs_exp => return Err("exp is missing"),
            None => {}
            Some(value) => {
                let exp = date(value).ok_or("exp is no time")?;
                if now >= exp + leeway {
                    return Err("it expired");
                }
            }
        }
        match claims.get("nbf") {
            None if self.needs_nbf => Err("nbf is missing"),
            None => Ok(()),
            Some(value) => {
                let nbf = date(value).ok_or("nbf is no time")?;
                if now + leeway < nbf { Err("it is not valid yet") } else { Ok(()) }
            }
        }
    }
}

/// A time in seconds since 1970. Texts, negative numbers and those beyond 2^53 are none.
pub fn date(value: &Value) -> Option<f64> {
    value.as_f64().filter(|date| (0.0..9_007_199_254_740_992.0).contains(date))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Times;

    #[test]
    fn times_are_judged_at_their_edges() {
        let now = 1_800_000_000;
        let lax = Times::default();
        let grace = Times { leeway_secs: 10, ..lax };
        let needs = Times { needs_exp: true, needs_nbf: true, ..lax };
        let judge =
            |times: &Times, claims: Value| times.check(claims.as_object().unwrap(), now * 1000).is_ok();
        for (times, claims, good) in [
            (&lax, json!({}), true),
            (&lax, json!({ "exp": now }), false),
            (&lax, json!({ "exp": now + 1 }), true),
            (&lax, json!({ "exp": now as f64 + 0.5 }), true),
            (&lax, json!({ "exp": (now + 1).to_string() }), false),
            (&lax, json!({ "exp": -1 }), false),
            (&lax, json!({ "exp": u64::MAX }), false),
            (&lax, json!({ "exp": 9_223_372_036_854_775_808_u64 }), false),
            (&lax, json!({ "exp": null }), false),
            (&lax, json!({ "nbf": now }), true),
            (&lax, json!({ "nbf": now + 1 }), false),
            (&lax, json!({ "nbf": "x" }), false),
            (&grace, json!({ "exp": now - 9 }), true),
            (&grace, json!({ "exp": now - 10 }), false),
            (&grace, json!({ "nbf": now + 10 }), true),
            (&grace, json!({ "nbf": now + 11 }), false),
            (&needs, json!({ "exp": now + 1 }), false),
            (&needs, json!({ "nbf": now }), false),
            (&needs, json!({ "exp": now + 1, "nbf": now }), true),
        ] {
            assert_eq!(judge(times, claims.clone()), good, "{claims}");
        }
    }
}
