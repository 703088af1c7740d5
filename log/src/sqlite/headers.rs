//! Headers as bytes: for each its name and value, each led by its length; a null value has the length −1.

use crate::Headers;

/// Writes headers down.
pub(super) fn encode(headers: &[(String, Option<Vec<u8>>)]) -> Option<Vec<u8>> {
    if headers.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.extend((name.len() as i32).to_le_bytes());
        bytes.extend(name.as_bytes());
        match value {
            None => bytes.extend((-1_i32).to_le_bytes()),
            Some(value) => {
                bytes.extend((value.len() as i32).to_le_bytes());
                bytes.extend(value);
            }
        }
    }
    Some(bytes)
}

/// Headers that were written down.
#[derive(Debug)]
pub(super) struct Encoded<'a>(pub(super) &'a [u8]);

impl Headers for Encoded<'_> {
    fn visit<'h>(&'h self, each: &mut dyn FnMut(&'h str, Option<&'h [u8]>) -> bool) {
        let mut rest = self.0;
        while let Some((Some(name), after)) = piece(rest)
            && let Some((value, after)) = piece(after)
            && each(std::str::from_utf8(name).unwrap_or_default(), value)
        {
            rest = after;
        }
    }
}

/// One piece and what follows; nothing at the end or where the bytes are damaged.
fn piece(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    match usize::try_from(i32::from_le_bytes(*length)) {
        Err(_) => Some((None, rest)),
        Ok(length) => rest.split_at_checked(length).map(|(piece, rest)| (Some(piece), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_ends_the_list_and_does_no_more() {
        let bytes = encode(&[("a".into(), Some(b"1".to_vec())), ("b".into(), None)]).unwrap();
        for length in 0..bytes.len() {
            let mut count = 0;
            Encoded(&bytes[..length]).visit(&mut |_, _| {
                count += 1;
                true
            });
            assert!(count < 2);
        }
    }
}
