//! `[window]` and `[catch_up]`: how much recent history is held, and how fast older history is read.

use super::section::Section;

/// `[window]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Bytes of recent entries kept in memory, over all topics.
    pub bytes: usize,
}

/// `[catch_up]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatchUp {
    /// Bytes a second that are read from the log for subscriptions that lie behind, over all of them.
    pub bytes_per_s: u64,
    /// Readers that do so side by side.
    pub readers: usize,
}

pub(super) fn read_window(mut section: Section<'_>) -> Window {
    let bytes = section.size("bytes", 1 << 20..=1 << 40).unwrap_or(64 << 20) as usize;
    section.finish();
    Window { bytes }
}

pub(super) fn read_catch_up(mut section: Section<'_>) -> CatchUp {
    let catch_up = CatchUp {
        bytes_per_s: section.size("bytes_per_s", 64 << 10..=1 << 40).unwrap_or(64 << 20),
        readers: section.count("readers", 1..=64).unwrap_or(2) as usize,
    };
    section.finish();
    catch_up
}
