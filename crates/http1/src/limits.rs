//! How much of anything a message may have.

/// Bounds of one message. The defaults are wide enough for browsers and tight enough for hostile clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A whole head, in bytes. Default 32 KiB.
    pub head_bytes: usize,
    /// Fields of a head. Default and maximum 100.
    pub fields: usize,
    /// One line of a head, in bytes. Default 16 KiB.
    pub line_bytes: usize,
    /// The request target, in bytes. Default 8 KiB.
    pub target_bytes: usize,
    /// The method, in bytes. Default 32.
    pub method_bytes: usize,
    /// A chunk's size line with its extension, in bytes. Default 256.
    pub chunk_line_bytes: usize,
    /// All chunk extensions of one body, in bytes. Default 4 KiB.
    pub chunk_extension_bytes: usize,
    /// All trailer lines, in bytes. Default 8 KiB.
    pub trailer_bytes: usize,
    /// Trailer fields. Default and maximum 32.
    pub trailer_fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 << 10,
            fields: 100,
            line_bytes: 16 << 10,
            target_bytes: 8 << 10,
            method_bytes: 32,
            chunk_line_bytes: 256,
            chunk_extension_bytes: 4 << 10,
            trailer_bytes: 8 << 10,
            trailer_fields: 32,
        }
    }
}

impl Limits {
    /// For answers of upstreams, whose heads may be twice as large.
    #[must_use]
    pub fn for_answers() -> Self {
        Self { head_bytes: 64 << 10, line_bytes: 60 << 10, ..Self::default() }
    }
}
