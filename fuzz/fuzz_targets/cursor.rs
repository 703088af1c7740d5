#![no_main]
//! Cursors: no token opens that was not sealed by us, and what is sealed opens as what it was.

use std::cell::LazyCell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use libfuzzer_sys::fuzz_target;
use tidegate::cursor::{MasterKey, Sealer};
use tidegate_protocol::cursor::Cursor;

struct Nodes {
    here: Sealer,
    there: Sealer,
    stranger: Sealer,
}

thread_local! {
    static NODES: LazyCell<Nodes> = const { LazyCell::new(|| {
        let node = |key, life| Sealer::new(vec![MasterKey::new([key; 32])], [life; 16]);
        Nodes { here: node(1, 1), there: node(1, 2), stranger: node(2, 1) }
    }) };
}

fuzz_target!(|data: &[u8]| {
    NODES.with(|nodes| {
        // As a token: these bytes, and these bytes behind the name of a key that is known.
        if let Ok(text) = std::str::from_utf8(data) {
            assert!(nodes.here.open(text).is_err(), "opened, and not sealed by us");
        }
        assert!(nodes.here.open(&BASE64.encode(data)).is_err(), "opened, and not sealed by us");

        // As what is sealed.
        let (first, second) = data.split_at(data.len() / 2);
        let Ok(cursor) = Cursor::decode(data) else { return both(nodes, first, second) };
        assert_eq!(Cursor::decode(&cursor.encode()).as_ref(), Ok(&cursor));
        let token = nodes.here.seal(&cursor);
        assert_eq!(nodes.there.open(&token).as_ref(), Ok(&cursor), "any node with the key opens it");
        assert!(nodes.stranger.open(&token).is_err(), "another key opens nothing");

        let mut forged = BASE64.decode(&token).expect("a token is base64url");
        let at = data.iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        let length = forged.len();
        forged[at % length] ^= 1 << (at % 8);
        assert!(nodes.here.open(&BASE64.encode(&forged)).is_err(), "a bit was changed, and it opens");
        forged.truncate(at % length);
        assert!(nodes.here.open(&BASE64.encode(&forged)).is_err(), "cut off, and it opens");
    });
});

/// A full cursor and a delta: one, if they are of the same reader and log.
fn both(nodes: &Nodes, full: &[u8], delta: &[u8]) {
    let (Ok(full), Ok(delta)) = (Cursor::decode(full), Cursor::decode(delta)) else { return };
    let opened = nodes.there.open_all(&[nodes.here.seal(&full), nodes.here.seal(&delta)]);
    let same = (&full.tenant, &full.topic, full.topic_id) == (&delta.tenant, &delta.topic, delta.topic_id);
    assert_eq!(opened.is_ok(), same);
    let Ok(opened) = opened else { return };
    assert_eq!((&opened.tenant, &opened.topic, opened.topic_id), (&full.tenant, &full.topic, full.topic_id));
    for (partition, offset) in &opened.offsets {
        let known = [&full, &delta].into_iter().filter_map(|cursor| cursor.offsets.get(partition)).max();
        assert_eq!(known, Some(offset), "a position never goes back");
    }
}
