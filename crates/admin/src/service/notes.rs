//! Texts that leave this program and come back: sealed, so that nobody reads or changes them on the way, and each for one purpose.

use super::Service;

/// What the record of a note begins with; no resource is called so.
const RECORD: &str = "/usher/notes/";

impl Service {
    /// Seals a text for a purpose; `None` where the keyring fails, which is logged.
    #[must_use]
    pub fn seal_note(&self, purpose: &str, text: &str) -> Option<String> {
        let sealed = self.parts.keyring.seal(&format!("{RECORD}{purpose}"), text);
        sealed.inspect_err(|error| tracing::error!(%error, "a note could not be sealed")).ok()
    }

    /// What was sealed for this purpose; `None` for anything else.
    #[must_use]
    pub fn open_note(&self, purpose: &str, sealed: &str) -> Option<String> {
        // The keyring takes what isn't sealed as it stands; a note always is.
        if !usher_model::seal::is_sealed(sealed) {
            return None;
        }
        self.parts.keyring.open(&format!("{RECORD}{purpose}"), sealed).ok()
    }
}
