#![no_main]
//! Server-Sent Events: whatever stands in an event, whoever reads the stream as the HTML standard says finds one message,
//! with that data but for line ends, and with no field that the event has forged.

use libfuzzer_sys::fuzz_target;
use tidegate::session::event_stream;

fuzz_target!(|text: &str| {
    for (name, id) in [(None, None), (Some("order.created"), None), (None, Some("c-1")), (Some("a.b"), Some("c-2"))] {
        let mut out = Vec::new();
        event_stream::message(&mut out, name, text.as_bytes(), None);
        if let Some(id) = id {
            event_stream::leave_open(&mut out);
            event_stream::identify(&mut out, id);
        }
        let stream = String::from_utf8(out).expect("text");
        let expected = Message {
            name: name.map(str::to_owned),
            // An empty line of data at the end is the one that the reader takes off again.
            data: lines(text).join("\n"),
            id: id.map(str::to_owned),
        };
        assert_eq!(read(&stream), [expected], "{stream:?}");
    }
});

#[derive(Debug, Default, PartialEq)]
struct Message {
    name: Option<String>,
    data: String,
    id: Option<String>,
}

/// Lines as the standard has them: they end with CR LF, LF or CR.
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        lines.push(&rest[..at]);
        rest = rest[at..].strip_prefix("\r\n").unwrap_or_else(|| &rest[at + 1..]);
    }
    lines.push(rest);
    lines
}

/// The messages of a stream.
fn read(stream: &str) -> Vec<Message> {
    let mut messages = Vec::new();
    let (mut message, mut data) = (Message::default(), Vec::new());
    for line in lines(stream) {
        if line.is_empty() {
            let whole = std::mem::take(&mut message);
            if !data.is_empty() {
                messages.push(Message { data: std::mem::take(&mut data).join("\n"), ..whole });
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => message.name = Some(value.to_owned()),
            "data" => data.push(value),
            "id" => message.id = Some(value.to_owned()),
            _ => {}
        }
    }
    messages
}
