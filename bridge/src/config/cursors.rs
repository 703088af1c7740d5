//! `[cursors]`: the keys that cursors are sealed with.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::section::Section;

/// `[cursors]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursors {
    /// The first seals, all open. Empty: the bridge makes a key of its own at each start.
    pub keys: Vec<CursorKey>,
}

/// 32 bytes that must stay secret.
#[derive(Clone, PartialEq, Eq)]
pub struct CursorKey(pub [u8; 32]);

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey(…)")
    }
}

pub(super) fn read(mut section: Section<'_>, folder: &Path) -> Cursors {
    let place = section.place_of("keys").clone();
    let keys = section.list("keys", |text| {
        let text = match text.strip_prefix("file:") {
            None => text.to_owned(),
            Some(path) => {
                let path = super::load::resolve(Path::new(path), folder, &place);
                std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?
            }
        };
        // Never quote what may be a key.
        let bad =
            || "must be 32 bytes in base64 (`openssl rand -base64 32`), or file:PATH of a file with them".to_owned();
        let bytes = STANDARD.decode(text.trim()).map_err(|_| bad())?;
        bytes.try_into().map(CursorKey).map_err(|_| bad())
    });
    match &keys {
        None => section.warning(
            "keys",
            "not set: a key is made at each start, so no cursor outlives it or is known to another node",
        ),
        Some(keys) if keys.is_empty() && section.has("keys") => section.problem("keys", "must hold at least one key"),
        Some(_) => {}
    }
    section.finish();
    Cursors { keys: keys.unwrap_or_default() }
}
