//! Undoes the coding of an answer's body, so that filters see the text; bounded, because a small body can hold a huge one.

use std::io::Read;

use brotli_decompressor::Decompressor;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use usher_http1::head::Head;
use usher_pipeline::body::BodyError;

/// How a body is coded (`Content-Encoding`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Not at all.
    #[default]
    Identity,
    /// `gzip`.
    Gzip,
    /// `br`.
    Brotli,
    /// `deflate`, in zlib's format or without it.
    Deflate,
}

/// The largest decoded body, in bytes, whatever was configured.
const MAX_DECODED: usize = 10 << 20;
/// A body that decodes to less is never suspected, in bytes.
const UNSUSPECTED: usize = 1 << 20;
/// How many times larger than the coded body a larger one may be.
const MAX_RATIO: usize = 100;
/// How much of a coded body is read at once, in bytes.
const PIECE: usize = 8 << 10;

impl Coding {
    /// The coding of an answer; `None` for one that can't be undone, or several on top of each other.
    pub(crate) fn of(answer: &Head) -> Option<Self> {
        let mut fields = answer.get_all("content-encoding");
        let coding = match (fields.next(), fields.next()) {
            (None, _) => return Some(Self::Identity),
            (Some(one), None) => one.trim_ascii().to_ascii_lowercase(),
            (Some(_), Some(_)) => return None,
        };
        match coding.as_slice() {
            b"" | b"identity" => Some(Self::Identity),
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"br" => Some(Self::Brotli),
            b"deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    /// The body without its coding; at most `limit` bytes.
    ///
    /// # Errors
    /// The decoded body would be too large, or the coded one is damaged or cut.
    pub(crate) fn decode(self, body: Vec<u8>, limit: usize) -> Result<Vec<u8>, BodyError> {
        let coded = body.as_slice();
        // An answer to HEAD has a coding and no body.
        if self == Self::Identity || coded.is_empty() {
            return Ok(body);
        }
        let limit = limit.min(MAX_DECODED).min(UNSUSPECTED.max(coded.len().saturating_mul(MAX_RATIO)));
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => read(MultiGzDecoder::new(coded), limit),
            Self::Brotli => read(Decompressor::new(coded, PIECE), limit),
            // RFC 9110 means zlib's format, and some servers send what is inside of it.
            Self::Deflate if is_zlib(coded) => read(ZlibDecoder::new(coded), limit),
            Self::Deflate => read(DeflateDecoder::new(coded), limit),
        }
    }

    /// What the beginning of a body decodes to, at most `limit` bytes; nothing where it is coded otherwise.
    pub(crate) fn decode_beginning(self, coded: &[u8], limit: usize) -> Vec<u8> {
        let mut whole = Vec::new();
        let limit = limit.min(MAX_DECODED) as u64;
        // Where the coded body was cut, there is an error behind what is wanted.
        let _ = match self {
            Self::Identity => coded.take(limit).read_to_end(&mut whole),
            Self::Gzip => MultiGzDecoder::new(coded).take(limit).read_to_end(&mut whole),
            Self::Brotli => Decompressor::new(coded, PIECE).take(limit).read_to_end(&mut whole),
            Self::Deflate if is_zlib(coded) => ZlibDecoder::new(coded).take(limit).read_to_end(&mut whole),
            Self::Deflate => DeflateDecoder::new(coded).take(limit).read_to_end(&mut whole),
        };
        whole
    }
}

fn is_zlib(coded: &[u8]) -> bool {
    matches!(coded, [first, second, ..] if first & 15 == 8 && (u32::from(*first) << 8 | u32::from(*second)) % 31 == 0)
}

fn read(decoder: impl Read, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut whole = Vec::new();
    let outcome = decoder.take(limit as u64 + 1).read_to_end(&mut whole);
    if whole.len() > limit {
        return Err(BodyError::TooLarge { limit: limit as u64 });
    }
    match outcome {
        Ok(_) => Ok(whole),
        Err(error) => Err(BodyError::Refused(format!("the upstream's body can't be decoded: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use usher_http1::head::Head;
    use usher_pipeline::body::BodyError;

    use super::Coding;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// `hello hello hello hello` as a brotli encoder wrote it.
    const BROTLI: &[u8] = &[
        0x1b, 0x16, 0x00, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x55, 0x86, 0x96, 0x6c, 0x20, 0x6f, 0x21, 0x4f,
        0x1c, 0xe0, 0x38,
    ];

    #[test]
    fn knows_codings_by_name() {
        for (fields, wanted) in [
            (vec![], Some(Coding::Identity)),
            (vec!["identity"], Some(Coding::Identity)),
            (vec!["GZIP"], Some(Coding::Gzip)),
            (vec!["x-gzip"], Some(Coding::Gzip)),
            (vec!["br"], Some(Coding::Brotli)),
            (vec!["deflate"], Some(Coding::Deflate)),
            (vec!["zstd"], None),
            (vec!["gzip, gzip"], None),
            (vec!["gzip", "gzip"], None),
        ] {
            let mut head = Head::response(200);
            for field in &fields {
                head.append("Content-Encoding", field).unwrap();
            }
            assert_eq!(Coding::of(&head), wanted, "{fields:?}");
        }
    }

    #[test]
    fn undoes_every_coding() {
        let text = b"hello hello hello hello";
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(text).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        raw.write_all(text).unwrap();
        let two_members = [gzip(b"hello hello "), gzip(b"hello hello")].concat();
        for (coding, body) in [
            (Coding::Identity, text.to_vec()),
            (Coding::Gzip, gzip(text)),
            (Coding::Gzip, two_members),
            (Coding::Deflate, zlib.finish().unwrap()),
            (Coding::Deflate, raw.finish().unwrap()),
            (Coding::Brotli, BROTLI.to_vec()),
        ] {
            assert_eq!(coding.decode(body, 100).as_deref(), Ok(text.as_slice()), "{coding:?}");
        }
        assert_eq!(Coding::Gzip.decode(Vec::new(), 100), Ok(Vec::new()));
    }

    #[test]
    fn stops_at_what_is_too_large() {
        let bomb = gzip(&vec![0; 64 << 20]);
        for (body, limit) in
            [(gzip(&[b'a'; 101]), 100), (bomb, 64 << 20), (gzip(&vec![b'a'; 2 << 20]), 64 << 20)]
        {
            let outcome = Coding::Gzip.decode(body, limit);
            assert!(matches!(outcome, Err(BodyError::TooLarge { .. })), "{limit}");
        }
    }

    #[test]
    fn a_damaged_or_cut_body_is_no_body() {
        let mut damaged = gzip(b"hello hello hello hello");
        let cut = damaged[..damaged.len() - 9].to_vec();
        let checksum = damaged.len() - 8;
        damaged[checksum] ^= 1;
        for (coding, body) in [
            (Coding::Gzip, damaged),
            (Coding::Gzip, cut),
            (Coding::Gzip, b"plain".to_vec()),
            (Coding::Deflate, vec![0x78, 0x9c, 0xff]),
            (Coding::Brotli, BROTLI[..10].to_vec()),
        ] {
            assert!(matches!(coding.decode(body, 100), Err(BodyError::Refused(_))), "{coding:?}");
        }
    }
}
