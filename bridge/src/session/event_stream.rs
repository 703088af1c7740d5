//! The server's side of Server-Sent Events: messages of named or unnamed data, an id, a comment.

/// Appends one message. `name` and `id` hold no line ends.
pub fn message(out: &mut Vec<u8>, name: Option<&str>, data: &[u8], id: Option<&str>) {
    if let Some(name) = name {
        field(out, "event", name);
    }
    out.extend_from_slice(b"data: ");
    lines(out, data);
    out.push(b'\n');
    if let Some(id) = id {
        field(out, "id", id);
    }
    out.push(b'\n');
}

/// Bytes of a message without an id.
pub fn message_length(name: Option<&str>, data: &[u8]) -> usize {
    name.map_or(0, |name| "event: \n".len() + name.len()) + "data: \n\n".len() + lines_length(data)
}

/// Appends one field; `value` holds no line ends.
pub fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// Appends data. What a receiver would take for the end of a line begins another `data` line, which it joins again: by a
/// line feed, whatever stood there. In JSON that is white space, for inside its texts line ends are written as escapes.
pub fn lines(out: &mut Vec<u8>, mut data: &[u8]) {
    while let Some(at) = memchr::memchr2(b'\n', b'\r', data) {
        out.extend_from_slice(&data[..at]);
        out.extend_from_slice(b"\ndata: ");
        let ends = if data[at..].starts_with(b"\r\n") { 2 } else { 1 };
        data = &data[at + ends..];
    }
    out.extend_from_slice(data);
}

/// Bytes that [`lines`] appends, or a few more.
pub fn lines_length(data: &[u8]) -> usize {
    data.len() + memchr::memchr2_iter(b'\n', b'\r', data).count() * "\ndata: ".len()
}

/// Leaves the message that was appended last open: [`identify`] ends it.
pub fn leave_open(out: &mut Vec<u8>) {
    if out.ends_with(b"\n\n") {
        out.pop();
    }
}

/// Ends a message that was left open with an id.
pub fn identify(out: &mut Vec<u8>, id: &str) {
    field(out, "id", id);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: Option<&str>, data: &str, id: Option<&str>) -> String {
        let mut out = Vec::new();
        message(&mut out, name, data.as_bytes(), id);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn messages() {
        assert_eq!(written(None, "{}", None), "data: {}\n\n");
        assert_eq!(written(Some("a.b"), "{}", Some("c")), "event: a.b\ndata: {}\nid: c\n\n");
        assert_eq!(written(None, "", None), "data: \n\n");
    }

    #[test]
    fn line_ends_of_every_kind_begin_another_line_of_data() {
        assert_eq!(written(None, "{\n1\r2\r\n}", None), "data: {\ndata: 1\ndata: 2\ndata: }\n\n");
        assert_eq!(written(None, "\n", None), "data: \ndata: \n\n");
        assert_eq!(written(None, "\r\r\n\n", None), "data: \ndata: \ndata: \ndata: \n\n");
        // No line end of another alphabet counts.
        assert_eq!(written(None, "a\u{2028}b\u{b}c", None), "data: a\u{2028}b\u{b}c\n\n");
    }

    #[test]
    fn nothing_inside_the_data_becomes_a_field() {
        let forged = written(Some("a.b"), "{}\n\nevent: c.d\rid: x\r\n\r\n", None);
        assert!(forged.lines().skip(1).all(|line| line.is_empty() || line.starts_with("data: ")), "{forged}");
        assert_eq!(forged.matches("\n\n").count(), 1);
    }

    #[test]
    fn the_last_message_is_given_an_id() {
        let mut out = Vec::new();
        leave_open(&mut out);
        message(&mut out, None, b"1", None);
        message(&mut out, None, b"2", None);
        leave_open(&mut out);
        identify(&mut out, "x");
        assert_eq!(out, b"data: 1\n\ndata: 2\nid: x\n\n");
    }
}
