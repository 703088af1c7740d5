//! The server's side of RFC 6455 framing: unmasked, unfragmented text and close frames.

use bytes::{Buf, Bytes};
use tidegate_protocol::code::CloseCode;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// Longest frame header a server writes.
const HEADER: usize = 10;

/// A text message as a frame.
pub fn text(payload: &str) -> Bytes {
    let mut frame = begin(payload.len());
    frame.extend_from_slice(payload.as_bytes());
    finish(frame, 0)
}

/// Begins a text message of about that length: leaves room for the header, which [`finish`] writes when the length is
/// known.
pub fn begin(length: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER + length);
    frame.resize(HEADER, 0);
    frame
}

/// Turns what [`begin`] began into a frame, or into the beginning of one of which so many bytes are to follow.
pub fn finish(mut frame: Vec<u8>, follow: usize) -> Bytes {
    let length = frame.len() - HEADER + follow;
    let from = match length {
        0..=125 => {
            frame[HEADER - 1] = length as u8;
            HEADER - 2
        }
        126..=0xFFFF => {
            frame[HEADER - 3] = 126;
            frame[HEADER - 2..HEADER].copy_from_slice(&(length as u16).to_be_bytes());
            HEADER - 4
        }
        _ => {
            frame[1] = 127;
            frame[2..HEADER].copy_from_slice(&(length as u64).to_be_bytes());
            0
        }
    };
    frame[from] = TEXT;
    let mut frame = Bytes::from(frame);
    frame.advance(from);
    frame
}

/// A close frame.
pub fn close(code: CloseCode) -> Bytes {
    let mut frame = vec![CLOSE, 2 + code.reason.len() as u8];
    frame.extend_from_slice(&code.code.to_be_bytes());
    frame.extend_from_slice(code.reason.as_bytes());
    Bytes::from(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(&text("hi")[..], b"\x81\x02hi");
        let medium = text(&"x".repeat(200));
        assert_eq!(&medium[..4], &[0x81, 126, 0, 200]);
        let large = text(&"x".repeat(70_000));
        assert_eq!(&large[..10], &[0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
        assert_eq!(large.len(), 70_010);
    }
}
