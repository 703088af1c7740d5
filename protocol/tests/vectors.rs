//! Runs every vector in `vectors/` through the decoders and encoders of this crate.
//!
//! A vector file that nothing here runs fails `every_file_is_run`.

mod describe;
mod parsed;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use parsed::Parsed;
use serde_json::Value as Json;
use tidegate_protocol::code::{CLOSE_CODES, ErrorCode, is_terminal};
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::envelope::{Head, Stamp};
use tidegate_protocol::frame::{BadFrame, BatchWriter, ClientFrame, Entry, ServerFrame};
use tidegate_protocol::json::{Raw, Value};
use tidegate_protocol::{SUBPROTOCOL, ids, timestamp};

/// One test for each file, and the list of them.
macro_rules! vectors {
    ($($name:ident: $file:literal, $run:expr;)*) => {
        $(#[test]
        fn $name() {
            let file = read($file);
            let cases = file["cases"].as_array().expect("cases");
            assert!(!cases.is_empty());
            for case in cases {
                let run: fn(&Json, &Json) = $run;
                run(case, &file);
            }
        })*
        const FILES: &[&str] = &[$($file),*];
    };
}

vectors! {
    client_frames: "client-frames.json", client_frame;
    reports: "reports.json", client_frame;
    server_frames: "server-frames.json", server_frame;
    batches: "batches.json", batch;
    bad_client_frames: "bad-client-frames.json", bad_client_frame;
    bad_server_frames: "bad-server-frames.json", bad_server_frame;
    envelopes: "envelopes.json", envelope;
    stamping: "stamping.json", stamp;
    cursors: "cursors.json", cursor;
    timestamps: "timestamps.json", time;
    names: "names.json", name;
    codes: "codes.json", code;
}

#[test]
fn every_file_is_run() {
    let mut found: Vec<String> = fs::read_dir(folder())
        .expect("vectors/")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name in UTF-8"))
        .collect();
    found.sort();
    let mut run = FILES.to_vec();
    run.sort_unstable();
    assert_eq!(found, run);
}

#[test]
fn every_code_has_a_vector() {
    let file = read("codes.json");
    let cases = file["cases"].as_array().expect("cases");
    let errors: Vec<_> = cases.iter().filter_map(|case| case["error"].as_str()).collect();
    assert_eq!(errors, ErrorCode::ALL.iter().map(|code| code.name()).collect::<Vec<_>>());
    let closes = cases.iter().filter(|case| case["reason"].is_string()).count();
    assert_eq!(closes, CLOSE_CODES.len());
}

#[test]
fn every_frame_has_a_vector() {
    let kinds = |files: &[&str]| {
        let mut kinds = std::collections::BTreeSet::new();
        for file in files {
            for case in read(file)["cases"].as_array().expect("cases") {
                kinds.extend(case["frame"].as_object().and_then(|frame| frame.keys().next().cloned()));
            }
        }
        kinds.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        kinds(&["client-frames.json", "reports.json"]),
        "hello pong publish refresh report subscribe unsubscribe"
    );
    assert_eq!(
        kinds(&["server-frames.json"]),
        "batch error ledger moved ping published reconnect refreshed state subscribed unsubscribed welcome"
    );
}

fn client_frame(case: &Json, _: &Json) {
    let decoded = ClientFrame::decode(text(case, "text")).unwrap_or_else(|bad| panic!("{bad}: {case}"));
    let Some(frame) = decoded else {
        assert!(case["frame"].is_null(), "passed over: {case}");
        return;
    };
    assert_eq!(describe::client(&frame), case["frame"], "{case}");
    assert_eq!(frame.encode(), encoded(case), "{case}");
    assert_eq!(ClientFrame::decode(&frame.encode()), Ok(Some(frame)), "{case}");
}

fn server_frame(case: &Json, _: &Json) {
    let message = text(case, "text");
    let raw = Raw::parse(message).expect("JSON");
    let parsed = Parsed::parse(message).expect("JSON");
    let decoded = ServerFrame::decode(&raw).unwrap_or_else(|bad| panic!("{bad}: {case}"));
    let as_tree = ServerFrame::decode(&parsed).unwrap_or_else(|bad| panic!("{bad}: {case}"));
    let (Some(frame), Some(as_tree)) = (decoded, as_tree) else {
        assert!(case["frame"].is_null(), "passed over: {case}");
        return;
    };
    assert_eq!(describe::server(&frame), case["frame"], "{case}");
    assert_eq!(describe::server(&as_tree), case["frame"], "{case}");
    assert_eq!(frame.encode(), encoded(case), "{case}");
}

fn batch(case: &Json, _: &Json) {
    let entries = case["entries"].as_array().expect("entries");
    let mut out = Vec::new();
    BatchWriter::head(&mut out, number(case, "view"), number(case, "seq"));
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let filled: Vec<&str> = entry["filled"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let mut written = String::new();
        Entry::write(&mut written, entry["key"].as_str(), &filled, text(entry, "event"));
        out.extend_from_slice(written.as_bytes());
    }
    BatchWriter::tail(&mut out, text(case, "cursor"), case["full"].as_bool().unwrap_or(false));
    assert_eq!(String::from_utf8(out).expect("UTF-8"), text(case, "text"));

    let raw = Raw::parse(text(case, "text")).expect("JSON");
    let Ok(Some(ServerFrame::Batch(batch))) = ServerFrame::decode(&raw) else { panic!("no batch: {case}") };
    assert_eq!(ServerFrame::Batch(batch.clone()).encode(), text(case, "text"), "both encoders agree");
    let read = batch.entries.items().expect("a list");
    assert_eq!(read.len(), entries.len());
    for (read, entry) in read.iter().zip(entries) {
        let read = Entry::read(read).expect("an entry");
        assert_eq!(read.key.as_deref(), entry["key"].as_str(), "{case}");
        assert_eq!(read.event, text(entry, "event"), "{case}");
    }
}

fn bad_client_frame(case: &Json, _: &Json) {
    let bad = ClientFrame::decode(text(case, "text")).expect_err(text(case, "name"));
    refused(case, &bad);
}

fn bad_server_frame(case: &Json, _: &Json) {
    let message = text(case, "text");
    refused(case, &ServerFrame::decode(&Raw::parse(message).expect("JSON")).expect_err(text(case, "name")));
    refused(case, &ServerFrame::decode(&Parsed::parse(message).expect("JSON")).expect_err(text(case, "name")));
}

fn refused(case: &Json, bad: &BadFrame) {
    assert_eq!(bad.code().name(), text(case, "code"), "{case}");
    assert_eq!(bad.pointer(), case["pointer"].as_str(), "{bad}: {case}");
}

fn envelope(case: &Json, file: &Json) {
    let (now, skew) = (file["now"].as_i64().expect("now"), file["skew"].as_i64().expect("skew"));
    let judged = Head::read(text(case, "text")).and_then(|head| head.check(now, skew));
    assert_eq!(judged.err().as_ref().map(|bad| bad.pointer.as_str()), case["pointer"].as_str(), "{case}");
}

fn stamp(case: &Json, file: &Json) {
    let given = &file["stamp"];
    let stamp = Stamp {
        tenant: text(given, "tenant"),
        subject: text(given, "subject"),
        id: text(given, "id"),
        timestamp: text(given, "timestamp"),
    };
    match Head::read(text(case, "text")).and_then(|head| head.stamp(&stamp)) {
        Ok(stamped) => {
            let described = serde_json::json!({
                "text": stamped.text,
                "id": stamped.id,
                "type": stamped.event_type,
                "correlation_id": stamped.correlation_id,
                "key": stamped.key,
                "traceparent": stamped.traceparent,
            });
            assert_eq!(described, case["stamped"], "{case}");
        }
        Err(bad) => assert_eq!(Some(bad.pointer.as_str()), case["pointer"].as_str(), "{bad}: {case}"),
    }
}

fn cursor(case: &Json, _: &Json) {
    let bytes = from_hex(text(case, "hex"));
    let decoded = Cursor::decode(&bytes).ok();
    let described = decoded.as_ref().map(|cursor| {
        serde_json::json!({
            "tenant": cursor.tenant,
            "topic": cursor.topic,
            "topic_id": to_hex(&cursor.topic_id),
            "full": cursor.full,
            "offsets": cursor.offsets.iter().collect::<Vec<_>>(),
        })
    });
    assert_eq!(described.unwrap_or_default(), case["cursor"], "{case}");
    if let Some(cursor) = decoded {
        assert_eq!(to_hex(&cursor.encode()), text(case, "hex"), "{case}");
    }
}

fn time(case: &Json, _: &Json) {
    let read = timestamp::parse(text(case, "text"));
    assert_eq!(read, case["millis"].as_i64(), "{case}");
    if let Some(at) = read {
        assert_eq!(timestamp::format(at), text(case, "written"), "{case}");
    }
}

fn name(case: &Json, _: &Json) {
    let is = match text(case, "kind") {
        "uuid" => ids::is_uuid,
        "tenant" => ids::is_tenant,
        "type" => ids::is_event_type,
        "topic" => ids::is_topic,
        other => panic!("an unknown kind {other:?}"),
    };
    assert_eq!(Some(is(text(case, "text"))), case["valid"].as_bool(), "{case}");
}

fn code(case: &Json, _: &Json) {
    if let Some(name) = case["error"].as_str() {
        let code = ErrorCode::from_name(name).unwrap_or_else(|| panic!("no such code: {case}"));
        assert_eq!(Some(code.retryable()), case["retryable"].as_bool(), "{case}");
        return;
    }
    let number: u16 = number(case, "close");
    assert_eq!(Some(is_terminal(number)), case["terminal"].as_bool(), "{case}");
    let known = CLOSE_CODES.iter().find(|close| close.code == number).map(|close| close.reason);
    assert_eq!(known, case["reason"].as_str(), "{case}");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn read(file: &str) -> Json {
    let text = fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let json: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(json["protocol"], SUBPROTOCOL, "{file}");
    json
}

fn text<'a>(case: &'a Json, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_else(|| panic!("no {name}: {case}"))
}

fn number<N: TryFrom<u64>>(case: &Json, name: &str) -> N {
    case[name].as_u64().and_then(|n| N::try_from(n).ok()).unwrap_or_else(|| panic!("no {name}: {case}"))
}

fn encoded(case: &Json) -> &str {
    case["encoded"].as_str().unwrap_or_else(|| text(case, "text"))
}

fn from_hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal"))
        .collect()
}

fn to_hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(out, "{byte:02x}").expect("a String takes all");
    }
    out
}
