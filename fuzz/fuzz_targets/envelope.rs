#![no_main]
//! Events as they are published: what is no event is refused, and what is one goes onto the log as the token's
//! tenant and subject, with all else as it came.

use std::collections::{BTreeMap, HashSet};

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use tidegate_fuzz::{depth, has_surrogates, is_json, names};
use tidegate_protocol::envelope::{Head, Stamp};
use tidegate_protocol::frame::Entry;
use tidegate_protocol::json::MAX_DEPTH;
use tidegate_protocol::{ids, timestamp};

const STAMP: Stamp<'_> = Stamp {
    tenant: "acme",
    subject: "ada",
    id: "0199f3a0-4b1c-7d2e-8f00-aabbccddeeff",
    timestamp: "2026-11-21T11:39:39.000Z",
};
const NOW: i64 = 1_795_261_179_000;
const STAMPED: [&str; 8] =
    ["tenant_id", "requester", "responder", "version", "id", "type", "correlation_id", "timestamp"];

fuzz_target!(|text: &str| {
    if let Some(at) = timestamp::parse(text) {
        assert_eq!(timestamp::parse(&timestamp::format(at)), Some(at), "{text:?}");
    }
    let read = Head::read(text);
    if !has_surrogates(text) {
        let members = is_json(text).then(|| names(text)).flatten();
        let unique = members.is_some_and(|names| {
            let mut seen = HashSet::new();
            names.into_iter().all(|name| seen.insert(name))
        });
        let shallow = unique && depth(text) + Entry::DEPTH <= MAX_DEPTH;
        assert_eq!(read.is_ok(), shallow, "{text:?}");
    }
    let Ok(head) = read else { return };
    if head.check(NOW, 30_000).is_err() {
        return;
    }
    let Ok(stamped) = head.stamp(&STAMP) else { return };
    assert!(
        ids::is_uuid(&stamped.id) && ids::is_uuid(&stamped.correlation_id) && ids::is_event_type(&stamped.event_type)
    );

    let again = Head::read(&stamped.text).expect("what is stamped is an event");
    again.check(NOW, 30_000).expect("a valid one");
    assert_eq!(again.stamp(&STAMP).expect("that can be stamped"), stamped, "stamping twice is stamping once");
    if has_surrogates(text) {
        return;
    }
    let given: BTreeMap<String, &RawValue> = serde_json::from_str(text).expect("an object");
    let ours: BTreeMap<String, &RawValue> = serde_json::from_str(&stamped.text).expect("an object");
    assert_eq!(ours["tenant_id"].get(), "\"acme\"");
    let is = |name: &str| given.get(name).is_some_and(|value| value.get() != "null");
    if is("response") {
        assert_eq!(ours["responder"].get(), "\"ada\"");
    } else if is("action") {
        assert_eq!(ours["requester"].get(), "\"ada\"");
    } else {
        let identities = ["requester", "responder"].into_iter().filter_map(|name| ours.get(name));
        identities.for_each(|who| assert!(["\"ada\"", "null"].contains(&who.get()), "{text:?}"));
    }
    for (name, value) in given.iter().filter(|(name, _)| !STAMPED.contains(&&***name)) {
        assert_eq!(ours[name].get(), value.get(), "every other byte stays: {text:?}");
    }
    assert!(ours.keys().all(|name| given.contains_key(name) || STAMPED.contains(&&**name)));
});
