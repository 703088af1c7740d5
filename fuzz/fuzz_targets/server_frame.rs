#![no_main]
//! Frames from a bridge, as programs read them: decoding never panics, and what is taken reads back the same.

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::is_json;
use tidegate_protocol::frame::{Entry, ServerFrame};
use tidegate_protocol::json::{Raw, Value};

fuzz_target!(|text: &str| {
    let Ok(raw) = Raw::parse(text) else { return };
    assert!(is_json(text), "taken, and no JSON: {text:?}");
    let Ok(Some(frame)) = ServerFrame::decode(&raw) else { return };
    if let ServerFrame::Batch(batch) = &frame {
        let entries = batch.entries.items().unwrap_or_default();
        let events = entries.iter().filter_map(Entry::read);
        events.for_each(|entry| assert!(is_json(entry.event), "an event that is no JSON: {text:?}"));
    }
    let written = frame.encode();
    let raw = Raw::parse(&written).expect("what is written is JSON");
    let again = ServerFrame::decode(&raw).expect("what is written is a frame").expect("of a known kind");
    assert_eq!(again.encode(), written, "{text:?}");
});
