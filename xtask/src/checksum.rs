//! SHA-256, written as `sha256sum` writes it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// A checksum in the making.
#[derive(Default)]
pub(crate) struct Checksum(Sha256);

impl Checksum {
    /// The checksum of some bytes.
    pub(crate) fn of(bytes: &[u8]) -> String {
        let mut checksum = Self::default();
        checksum.add(bytes);
        checksum.finish()
    }

    /// Takes more bytes in.
    pub(crate) fn add(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// The checksum of all that was taken in.
    pub(crate) fn finish(self) -> String {
        self.0.finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
