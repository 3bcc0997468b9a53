//! In which order an APISIX is written to, so that what is referred to is there, and what is deleted is no longer referred to.

use usher_model::kind::{Key, Kind};

/// One write: `true` puts, `false` deletes.
pub(super) type Step<'a> = (&'a Key, bool);

/// Where a write stands in the order. What may be in one place only (a plugin among global rules, a consumer's key) is taken away before it is
/// given to another; everything else is made before it is needed, and deleted when nothing needs it.
pub(super) fn rank((key, puts): Step<'_>) -> (u8, u8) {
    let depth = depth(key.kind);
    match (puts, key.kind) {
        (false, Kind::GlobalRule | Kind::Credential) => (0, u8::MAX - depth),
        (true, _) => (1, depth),
        (false, _) => (2, u8::MAX - depth),
    }
}

/// A kind refers to smaller ones only.
const fn depth(kind: Kind) -> u8 {
    match kind {
        Kind::Secret | Kind::Proto | Kind::Ssl | Kind::PluginMetadata => 0,
        Kind::Upstream => 1,
        Kind::PluginConfig | Kind::ConsumerGroup => 2,
        Kind::Service => 3,
        Kind::Consumer | Kind::CostDecoration => 4,
        Kind::Credential | Kind::StreamRoute => 5,
        Kind::Route => 6,
        Kind::GlobalRule => 7,
    }
}

#[cfg(test)]
mod tests {
    use usher_model::kind::{Key, Kind};

    use super::rank;

    #[test]
    fn what_is_needed_comes_first_and_goes_last() {
        let key = |kind| Key::new(kind, "1");
        let steps = [
            (key(Kind::Route), false),
            (key(Kind::Upstream), false),
            (key(Kind::Route), true),
            (key(Kind::Service), true),
            (key(Kind::Upstream), true),
            (key(Kind::GlobalRule), true),
            (key(Kind::GlobalRule), false),
        ];
        let mut sorted: Vec<_> = steps.iter().map(|(key, puts)| (key, *puts)).collect();
        sorted.sort_by_key(|step| rank(*step));
        let names: Vec<String> = sorted
            .iter()
            .map(|(key, puts)| format!("{}{}", if *puts { "+" } else { "-" }, key.kind))
            .collect();
        assert_eq!(
            names,
            ["-global rule", "+upstream", "+service", "+route", "+global rule", "-route", "-upstream"]
        );
    }
}
