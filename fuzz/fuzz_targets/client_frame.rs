#![no_main]
//! Frames from a client: decoding never panics, and what is taken reads back the same.

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::is_json;
use tidegate_protocol::frame::ClientFrame;

fuzz_target!(|text: &str| {
    let decoded = ClientFrame::decode(text);
    let Ok(frame) = decoded else { return };
    assert!(is_json(text), "taken, and no JSON: {text:?}");
    let Some(frame) = frame else { return };
    let again = ClientFrame::decode(&frame.encode());
    assert_eq!(again.as_ref(), Ok(&Some(frame)), "{text:?}");
});
