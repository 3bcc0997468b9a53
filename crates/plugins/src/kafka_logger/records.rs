//! A batch of records, version 2, as brokers keep it: <https://kafka.apache.org/documentation/#recordbatch>.

/// One message as a batch of its own.
pub(super) fn batch(key: Option<&[u8]>, value: &[u8], at_ms: u64) -> Vec<u8> {
    let mut record = vec![0];
    // No time and no place beside those of the batch.
    varint(&mut record, 0);
    varint(&mut record, 0);
    match key {
        Some(key) => {
            varint(&mut record, length(key));
            record.extend_from_slice(key);
        }
        None => varint(&mut record, -1),
    }
    varint(&mut record, length(value));
    record.extend_from_slice(value);
    // No headers.
    varint(&mut record, 0);

    let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
    let mut checked = Vec::with_capacity(record.len() + 48);
    // Neither compressed nor part of a transaction; the last record is the first.
    checked.extend_from_slice(&0_i16.to_be_bytes());
    checked.extend_from_slice(&0_i32.to_be_bytes());
    checked.extend_from_slice(&at_ms.to_be_bytes());
    checked.extend_from_slice(&at_ms.to_be_bytes());
    // A producer without an id, an epoch or numbers of its own.
    checked.extend_from_slice(&(-1_i64).to_be_bytes());
    checked.extend_from_slice(&(-1_i16).to_be_bytes());
    checked.extend_from_slice(&(-1_i32).to_be_bytes());
    checked.extend_from_slice(&1_i32.to_be_bytes());
    varint(&mut checked, length(&record));
    checked.extend_from_slice(&record);

    let mut batch = Vec::with_capacity(checked.len() + 21);
    batch.extend_from_slice(&0_i64.to_be_bytes());
    // The length of what follows: the leader's epoch (unknown), the version, the checksum, and what is checked.
    let rest = i32::try_from(checked.len() + 9).unwrap_or(i32::MAX);
    batch.extend_from_slice(&rest.to_be_bytes());
    batch.extend_from_slice(&(-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend_from_slice(&crc32c(&checked).to_be_bytes());
    batch.extend_from_slice(&checked);
    batch
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

/// A number in as few bytes as it needs, small negative ones too (zigzag).
fn varint(out: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)).cast_unsigned();
    loop {
        let [low, ..] = left.to_le_bytes();
        left >>= 7;
        if left == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// CRC-32C (Castagnoli), which is another one than that of zip.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        let at = usize::from(crc.to_le_bytes()[0] ^ byte);
        (crc >> 8) ^ TABLE.get(at).copied().unwrap_or_default()
    })
}

#[expect(clippy::indexing_slicing, reason = "computed while compiling, where a place outside is an error")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    let mut first = 0_u32;
    while at < 256 {
        let mut crc = first;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
        first += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{batch, crc32c, varint};

    #[test]
    fn the_checksum_is_the_one_of_rfc_3720() {
        // RFC 3720, appendix B.4.
        for (bytes, wanted) in [
            (vec![0; 32], 0x8a91_36aa),
            (vec![0xff; 32], 0x62a8_ab43),
            ((0..32).collect(), 0x46dd_794e),
            (b"123456789".to_vec(), 0xe306_9283),
        ] {
            assert_eq!(crc32c(&bytes), wanted);
        }
    }

    #[test]
    fn numbers_take_as_few_bytes_as_they_need() {
        for (number, wanted) in [
            (0, &[0_u8] as &[u8]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (64, &[0x80, 1]),
            (300, &[0xd8, 4]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut out = Vec::new();
            varint(&mut out, number);
            assert_eq!(out, wanted, "{number}");
        }
    }

    #[test]
    fn a_batch_says_its_length_and_checksum() {
        let bytes = batch(Some(b"k"), b"value", 7);
        let length = i32::from_be_bytes(bytes[8..12].try_into().unwrap());
        assert_eq!(length as usize, bytes.len() - 12);
        assert_eq!(bytes[16], 2);
        let checksum = u32::from_be_bytes(bytes[17..21].try_into().unwrap());
        assert_eq!(checksum, crc32c(&bytes[21..]));
        assert!(bytes.ends_with(b"\x02k\x0avalue\x00"));
        assert!(batch(None, b"v", 0).ends_with(b"\x01\x02v\x00"));
    }
}
