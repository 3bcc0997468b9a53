//! The form in which APISIX encrypts fields: AES-CBC with the key as its own IV, padded, in base64.
//!
//! Equal texts have equal ciphertexts, and nothing tells a damaged one from a good one: it is read so that a store can be taken over, and
//! written only where an APISIX has to read it.

use aws_lc_rs::cipher::{
    AES_128, AES_256, Algorithm, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The block of AES, in bytes.
const BLOCK: usize = 16;

/// The keyring that every APISIX ships with, and that everybody knows.
pub const PUBLIC_KEYS: [&str; 2] = ["qeddd145sfvddff3", "edd1c9f0985e76a2"];

/// One key of `apisix.data_encryption.keyring`.
pub(super) struct ApisixKey {
    algorithm: &'static Algorithm,
    bytes: Vec<u8>,
    iv: [u8; BLOCK],
}

impl ApisixKey {
    /// A key of 16 or 32 bytes; `None` for any other length.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let algorithm = match bytes.len() {
            16 => &AES_128,
            32 => &AES_256,
            _ => return None,
        };
        let iv = bytes.first_chunk::<BLOCK>()?;
        Some(Self { algorithm, bytes: bytes.to_vec(), iv: *iv })
    }

    pub(super) fn encrypt(&self, plain: &str) -> Option<String> {
        let key = UnboundCipherKey::new(self.algorithm, &self.bytes).ok()?;
        let mut text = plain.as_bytes().to_vec();
        PaddedBlockEncryptingKey::cbc_pkcs7(key)
            .ok()?
            .less_safe_encrypt(&mut text, EncryptionContext::Iv128(FixedLength::from(self.iv)))
            .ok()?;
        Some(STANDARD.encode(text))
    }

    /// The text, where this key encrypted it: its padding is whole and it is UTF-8.
    pub(super) fn decrypt(&self, encrypted: &[u8]) -> Option<String> {
        let key = UnboundCipherKey::new(self.algorithm, &self.bytes).ok()?;
        let mut text = encrypted.to_vec();
        let plain = PaddedBlockDecryptingKey::cbc_pkcs7(key)
            .ok()?
            .decrypt(&mut text, DecryptionContext::Iv128(FixedLength::from(self.iv)))
            .ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

/// The bytes of a text that may be such a ciphertext.
pub(super) fn blocks(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    (!bytes.is_empty() && bytes.len().is_multiple_of(BLOCK)).then_some(bytes)
}
