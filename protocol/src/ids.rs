//! The forms of names: UUIDs, tenants, event types, topics.

use alloc::string::String;

/// Whether `text` is a hyphenated UUID of any version.
pub fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Counted without a way out of the loop: so it is done many bytes at a time.
    bytes.len() == 36
        && [8, 13, 18, 23].iter().all(|&at| bytes[at] == b'-')
        && bytes.iter().map(|byte| u8::from(byte.is_ascii_hexdigit())).sum::<u8>() == 32
}

/// Whether `text` is a tenant: `[A-Za-z0-9_-]{1,64}`.
pub fn is_tenant(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(is_word)
}

/// Whether `text` is an event type: words joined by dots, at least two of them, 255 bytes at most.
pub fn is_event_type(text: &str) -> bool {
    text.contains('.') && is_words(text, 255)
}

/// Whether `text` is a logical topic name: words joined by dots, or one word; 200 bytes at most.
pub fn is_topic(text: &str) -> bool {
    is_words(text, 200)
}

/// Whether `text` is words joined by dots, of `most` bytes at most.
fn is_words(text: &str, most: usize) -> bool {
    let mut last = b'.';
    let joined = |byte| {
        let before = core::mem::replace(&mut last, byte);
        is_word(byte) || (byte == b'.' && before != b'.')
    };
    (1..=most).contains(&text.len()) && text.bytes().all(joined) && last != b'.'
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// A version 7 UUID (RFC 9562) of a time in milliseconds since the epoch and ten random bytes.
pub fn uuid_v7(millis: u64, random: [u8; 10]) -> String {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random);
    bytes[6] = bytes[6] & 0x0F | 0x70;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert!(is_uuid(&uuid_v7(1_763_725_179_000, [0xFF; 10])));
        assert_eq!(uuid_v7(1, [0; 10]), "00000000-0001-7000-8000-000000000000");
        for bad in ["00000000-0001-7000-8000-00000000000g", "00000000-0001-7000-8000-0000000000-0", "0"] {
            assert!(!is_uuid(bad), "{bad}");
        }
        assert!(!is_uuid(&"0".repeat(36)));
        assert!(
            is_tenant("acme-1_B")
                && !is_tenant("")
                && !is_tenant("a.b")
                && !is_tenant("*")
                && !is_tenant(&"a".repeat(65))
        );
        assert!(
            is_event_type("order.created")
                && !is_event_type("open")
                && !is_event_type(".x")
                && !is_event_type("a..b")
                && !is_event_type("a.")
                && !is_event_type(".")
                && !is_event_type("")
                && !is_event_type("a.é")
        );
        assert!(is_topic("orders") && is_topic("eu.orders") && !is_topic("$ledger") && !is_topic("a/b"));
    }
}
