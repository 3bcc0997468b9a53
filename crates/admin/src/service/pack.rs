//! Packing: large texts of ours take a tenth of their room in the store.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::ServiceError;

/// The most bytes that are unpacked: twice what a transaction may hold.
const MOST: u64 = 128 << 20;

/// The packed text.
pub(super) fn pack(text: &[u8]) -> Result<Bytes, ServiceError> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder.write_all(text).and_then(|()| encoder.finish());
    packed.map(Bytes::from).map_err(|error| ServiceError::Damaged(error.to_string()))
}

/// The text again; `None` for what was not packed here.
pub(super) fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    ZlibDecoder::new(packed).take(MOST).read_to_end(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{pack, unpack};

    #[test]
    fn what_is_packed_comes_out_again() {
        let text = b"{\"uri\":\"/a\"}".repeat(1000);
        let packed = pack(&text).unwrap();
        assert!(packed.len() < text.len() / 10);
        assert_eq!(unpack(&packed), Some(text));
        assert_eq!(unpack(b"no zlib"), None);
    }
}
