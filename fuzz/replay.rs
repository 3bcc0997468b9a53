//! Replays the corpus of a fuzz target by an ordinary test, and each input some times with bytes changed by chance.
//!
//! So what a fuzzer once found stays found on every machine, and something is looked for on the stable compiler too. `USHER_TORTURE_INPUTS` says
//! how many changed ones there are of each input.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Changed ones of each input in an ordinary run.
const CHANGED: usize = 20;

/// What has to hold of an input.
pub type Check = fn(&[u8]) -> Result<(), String>;

/// A run of numbers without a pattern.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}

/// What parsers stumble over.
const PIECES: [&[u8]; 16] = [
    b"null",
    b"{}",
    b"[",
    b"\"",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\n",
    b"\0",
    b"\xff",
    b"/",
    b"..",
    b"\\u0000",
    b": ",
    b"#END\n",
    b"%2F",
];

fn changed(input: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        match chance.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(chance.below(256)).unwrap(),
            2 => drop(bytes.drain(at..bytes.len().min(at + chance.below(12)))),
            3 => drop(bytes.splice(at..at, PIECES[chance.below(PIECES.len())].iter().copied())),
            4 => {
                let part = bytes[at..bytes.len().min(at + chance.below(40))].to_vec();
                bytes.splice(at..at, part);
            }
            5 => {
                let from = chance.below(other.len() + 1);
                let part = &other[from..other.len().min(from + chance.below(60))];
                bytes.splice(at..at, part.iter().copied());
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// Replays a target's corpus, which has at least so many inputs.
pub fn replay(target: &str, least: usize, check: Check) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= least, "only {} inputs lie in {}", paths.len(), folder.display());
    let inputs: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for (path, input) in paths.iter().zip(&inputs) {
        if let Err(error) = check(input) {
            panic!("{}: {error}", path.display());
        }
    }
    let count =
        std::env::var("USHER_TORTURE_INPUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(CHANGED);
    let mut chance = Chance(count as u64);
    for _ in 0..count {
        for input in &inputs {
            let bytes = changed(input, &inputs[chance.below(inputs.len())], &mut chance);
            let outcome = catch_unwind(AssertUnwindSafe(|| check(&bytes)));
            if !matches!(outcome, Ok(Ok(()))) {
                let kept = std::env::temp_dir().join(format!("{target}-found"));
                std::fs::write(&kept, &bytes).unwrap();
                panic!(
                    "{target}: {outcome:?}; the input is in {}, and belongs into the corpus",
                    kept.display()
                );
            }
        }
    }
    println!("{target}: {} inputs, and {} changed by chance", inputs.len(), count * inputs.len());
}
