//! Amazon's event streams (`application/vnd.amazon.eventstream`): frames of a length, header fields, a payload and two checksums.
//!
//! They are read for what an answer cost, and passed on as they are: whoever relies on the checksums compares them himself.

/// Length of the whole, length of the fields, checksum of both.
const PRELUDE: usize = 12;
/// The checksum of the whole at its end.
const CHECKSUM: usize = 4;

/// The payload of the first frame, and how long that frame is. `None` where it isn't whole yet.
///
/// # Errors
/// These are no frames.
pub(super) fn first(held: &[u8]) -> Result<Option<(&[u8], usize)>, ()> {
    let number = |at: usize| {
        let bytes: [u8; 4] = held.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    };
    let (Some(length), Some(fields), true) = (number(0), number(4), held.len() >= PRELUDE) else {
        return Ok(None);
    };
    let end = length.checked_sub(CHECKSUM).ok_or(())?;
    let begin = fields.checked_add(PRELUDE).filter(|begin| *begin <= end).ok_or(())?;
    Ok(held.get(..length).and_then(|frame| Some((frame.get(begin..end)?, length))))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::first;

    /// A frame with this payload and no fields.
    pub(crate) fn frame(payload: &str) -> Vec<u8> {
        let length = u32::try_from(payload.len() + 16).unwrap();
        let prelude = [length.to_be_bytes(), 0_u32.to_be_bytes()].concat();
        let head = [prelude.clone(), crc32fast::hash(&prelude).to_be_bytes().to_vec()].concat();
        let body = [head, payload.as_bytes().to_vec()].concat();
        let sum = crc32fast::hash(&body);
        [body, sum.to_be_bytes().to_vec()].concat()
    }

    #[test]
    fn frames_are_told_apart_wherever_they_are_cut() {
        let both = [frame("one"), frame("")].concat();
        assert_eq!(first(&both), Ok(Some((&b"one"[..], 19))));
        assert_eq!(first(&both[19..]), Ok(Some((&b""[..], 16))));
        for cut in 0..19 {
            assert_eq!(first(&both[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for (length, fields) in [(0_u32, 0_u32), (15, 0), (16, 1), (20, u32::MAX)] {
            let held = [length.to_be_bytes(), fields.to_be_bytes(), [0; 4], [0; 4]].concat();
            assert_eq!(first(&held), Err(()), "{length} {fields}");
        }
        // A large one is only waited for.
        let held = [u32::MAX.to_be_bytes(), [0; 4], [0; 4]].concat();
        assert_eq!(first(&held), Ok(None));
    }
}
