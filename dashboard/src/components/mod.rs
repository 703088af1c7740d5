//! The parts of pages.

mod balance;
mod breakdown;
mod feeds;
mod figure;
mod header;
mod notice;
mod tiles;

pub(crate) use balance::Balance;
pub(crate) use breakdown::Breakdown;
pub(crate) use feeds::Feeds;
pub(crate) use figure::Figure;
pub(crate) use header::Header;
pub(crate) use notice::Notice;
pub(crate) use tiles::Tiles;
