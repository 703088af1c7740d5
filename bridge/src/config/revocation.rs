//! `[revocation]`: whether tokens can be revoked.

use super::section::Section;

/// `[revocation]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Revocations are read from the log before the node takes sessions. Else none is heeded.
    pub enabled: bool,
}

pub(super) fn read(mut section: Section<'_>) -> Revocation {
    let enabled = section.flag("enabled").unwrap_or(true);
    if !enabled {
        section.warning("enabled", "tokens can not be revoked: whoever has one keeps it until it expires");
    }
    section.finish();
    Revocation { enabled }
}
