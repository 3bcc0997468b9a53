//! Where the frames of a WebSocket end (RFC 6455, section 5.2), so that a word of the gateway's own never falls into the middle of one.

/// The longest header of a frame: two bytes, a length of eight, a mask of four.
const LONGEST: usize = 14;

/// Follows one direction's bytes.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; LONGEST],
    have: usize,
    /// Bytes of the frame's payload that are still to come.
    left: u64,
}

impl Frames {
    /// These bytes have passed.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= count as u64;
                bytes = bytes.get(count..).unwrap_or_default();
                continue;
            }
            let (Some(slot), Some((first, rest))) = (self.header.get_mut(self.have), bytes.split_first())
            else {
                return;
            };
            *slot = *first;
            self.have += 1;
            bytes = rest;
            if let Some(payload) = self.payload() {
                self.have = 0;
                self.left = payload;
            }
        }
    }

    /// Whether a frame may begin here.
    pub(super) const fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// The payload's length, once the header is complete.
    fn payload(&self) -> Option<u64> {
        let header = self.header.get(..self.have)?;
        let second = *header.get(1)?;
        let (digits, mask) = (second & 0x7f, if second & 0x80 == 0 { 0 } else { 4 });
        let wide = match digits {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if header.len() < 2 + wide + mask {
            return None;
        }
        let length = header.get(2..2 + wide)?.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        Some(if wide == 0 { u64::from(digits) } else { length })
    }
}

#[cfg(test)]
mod tests {
    use super::Frames;

    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mut frame = vec![0x82];
        let mask = if masked { 0x80 } else { 0 };
        match length {
            0..126 => frame.push(mask | u8::try_from(length).unwrap()),
            126..65_536 => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(vec![7; if masked { length + 4 } else { length }]);
        frame
    }

    #[test]
    fn the_end_of_each_frame_is_found_however_it_is_cut() {
        for masked in [false, true] {
            for length in [0, 1, 125, 126, 300, 65_535, 65_536, 70_000] {
                let bytes = frame(length, masked);
                for step in [1, 3, 1000, usize::MAX] {
                    let mut frames = Frames::default();
                    let mut passed = 0;
                    for piece in bytes.chunks(step.min(bytes.len())) {
                        frames.pass(piece);
                        passed += piece.len();
                        assert_eq!(
                            frames.is_between(),
                            passed == bytes.len(),
                            "{length} {masked} at {passed}"
                        );
                    }
                    frames.pass(&[frame(5, masked), frame(0, masked)].concat());
                    assert!(frames.is_between());
                }
            }
        }
    }
}
