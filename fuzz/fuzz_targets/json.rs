#![no_main]
//! The JSON scanner, held against `serde_json`: what is JSON, where its members lie, what its strings say.

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::{depth, has_surrogates, is_json, names};
use tidegate_protocol::json::{self, MAX_DEPTH, Raw, Value, write};

fuzz_target!(|text: &str| {
    let valid = is_json(text);
    let shallow = valid && depth(text) <= MAX_DEPTH;
    assert_eq!(json::validate(text).is_ok(), shallow, "{text:?}");

    let mut members = Vec::new();
    let object = json::members(text, &mut members).is_ok();
    assert_eq!(object, shallow && text.trim_ascii_start().starts_with('{'), "{text:?}");
    if object {
        for member in &members {
            assert!(is_json(member.value) && text[member.at..].starts_with(member.value), "{text:?}");
        }
        if !has_surrogates(text) {
            let ours: Vec<&str> = members.iter().map(|member| &*member.name).collect();
            assert_eq!(names(text).expect("an object"), ours, "{text:?}");
        }
    }

    let mut elements = Vec::new();
    let array = json::elements(text, &mut elements).is_ok();
    assert_eq!(array, shallow && text.trim_ascii_start().starts_with('['), "{text:?}");
    assert!(elements.iter().all(|element| !array || is_json(element)), "{text:?}");

    if let Ok(raw) = Raw::parse(text) {
        if let Some(said) = raw.text().filter(|_| !has_surrogates(text)) {
            assert_eq!(serde_json::from_str::<String>(text).expect("a string"), said);
        }
        if let Some(number) = raw.number() {
            // Beyond a double's range the one says infinity, the other nothing; the other's last digit may be off.
            let theirs: f64 = serde_json::from_str(text).unwrap_or(number);
            let close = (number - theirs).abs() <= number.abs() * 1e-14;
            assert!(close || number.is_infinite(), "{text:?}: {number} is not {theirs}");
        }
    }

    // Any text at all can be written as a string, and reads back.
    let mut written = String::new();
    write::string(&mut written, text);
    assert_eq!(serde_json::from_str::<String>(&written).expect("a string"), text);
    assert_eq!(Raw::parse(&written).expect("a string").text().as_deref(), Some(text));
});
