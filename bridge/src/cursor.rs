//! Sealing cursors: a page sees only tokens that it can neither read nor forge.
//!
//! A token is base64url of `key id (4) | incarnation (16) | counter (8) | AES-256-GCM(cursor)`. Each node seals with
//! a key of its own, derived by HKDF from the configured key and the node's incarnation, so that a counter is a safe
//! nonce; any node that holds the configured key derives it again from what stands in the token.

use std::cell::{Cell, RefCell};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use tidegate_protocol::cursor::{Cursor, Head};

const HEAD: usize = 4 + 16 + 8;

/// Derived keys of other nodes that are kept.
const REMEMBERED: usize = 16;

/// A configured sealing key.
#[derive(Clone)]
pub struct MasterKey {
    id: [u8; 4],
    bytes: [u8; 32],
}

/// A token that is no cursor sealed with any key held here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one of this bridge, or its key is no longer configured")]
pub struct InvalidCursor;

/// Seals and opens cursors; one for each shard.
pub struct Sealer {
    masters: Vec<MasterKey>,
    incarnation: [u8; 16],
    sealing: LessSafeKey,
    counter: Cell<u64>,
    /// Where the next token is put together.
    token: RefCell<Vec<u8>>,
    opening: RefCell<Vec<([u8; HEAD - 8], LessSafeKey)>>,
}

impl MasterKey {
    /// A key of 32 bytes; its id is taken from its digest.
    pub fn new(bytes: [u8; 32]) -> Self {
        let mut id = [0; 4];
        id.copy_from_slice(&digest(&SHA256, &bytes).as_ref()[..4]);
        Self { id, bytes }
    }

    fn derive(&self, incarnation: &[u8; 16]) -> LessSafeKey {
        let salt = Salt::new(HKDF_SHA256, b"tidegate cursor 1");
        let mut key = [0; 32];
        let secret = salt.extract(&self.bytes);
        // 32 bytes are within HKDF's and AES-256's bounds, so neither step has a way to fail.
        secret.expand(&[incarnation], HKDF_SHA256).and_then(|okm| okm.fill(&mut key)).expect("32 bytes of HKDF");
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key of 32 bytes"))
    }
}

impl Sealer {
    /// Seals with the first key and opens with any. `incarnation` is unique to this shard's life.
    ///
    /// # Panics
    /// If there is no key.
    pub fn new(masters: Vec<MasterKey>, incarnation: [u8; 16]) -> Self {
        let sealing = masters.first().expect("a cursor key").derive(&incarnation);
        Self {
            masters,
            incarnation,
            sealing,
            counter: Cell::new(0),
            token: RefCell::default(),
            opening: RefCell::default(),
        }
    }

    /// Seals a cursor.
    pub fn seal(&self, cursor: &Cursor) -> String {
        self.seal_parts(cursor.head(), cursor.offsets.iter().map(|(&partition, &offset)| (partition, offset)))
    }

    /// Seals a cursor that is not put together.
    pub fn seal_parts(&self, head: Head<'_>, offsets: impl Iterator<Item = (i32, i64)> + Clone) -> String {
        let counter = self.counter.get();
        self.counter.set(counter + 1);
        let mut token = self.token.borrow_mut();
        token.clear();
        token.extend_from_slice(&self.masters[0].id);
        token.extend_from_slice(&self.incarnation);
        token.extend_from_slice(&counter.to_be_bytes());
        head.encode(offsets, &mut token);
        let sealed = self.sealing.seal_in_place_separate_tag(nonce(counter), Aad::empty(), &mut token[HEAD..]);
        // Sealing fails only beyond 64 GiB.
        let Ok(tag) = sealed else { return String::new() };
        token.extend_from_slice(tag.as_ref());
        BASE64.encode(&*token)
    }

    /// Opens a token.
    pub fn open(&self, token: &str) -> Result<Cursor, InvalidCursor> {
        let mut bytes = BASE64.decode(token).map_err(|_| InvalidCursor)?;
        if bytes.len() < HEAD {
            return Err(InvalidCursor);
        }
        let (head, body) = bytes.split_at_mut(HEAD);
        let (from, counter) = head.split_at(HEAD - 8);
        let from: [u8; HEAD - 8] = from.try_into().map_err(|_| InvalidCursor)?;
        let counter = u64::from_be_bytes(counter.try_into().map_err(|_| InvalidCursor)?);
        let mut opening = self.opening.borrow_mut();
        let at = match opening.iter().position(|(known, _)| *known == from) {
            Some(at) => at,
            None => {
                let (id, incarnation) = from.split_at(4);
                let incarnation: &[u8; 16] = incarnation.try_into().map_err(|_| InvalidCursor)?;
                let master = self.masters.iter().find(|key| key.id == id).ok_or(InvalidCursor)?;
                opening.truncate(REMEMBERED - 1);
                opening.insert(0, (from, master.derive(incarnation)));
                0
            }
        };
        let plain = opening[at].1.open_in_place(nonce(counter), Aad::empty(), body).map_err(|_| InvalidCursor)?;
        Cursor::decode(plain).map_err(|_| InvalidCursor)
    }

    /// Opens the newest full cursor and the deltas since, in order, as one.
    pub fn open_all(&self, tokens: &[String]) -> Result<Cursor, InvalidCursor> {
        let (first, deltas) = tokens.split_first().ok_or(InvalidCursor)?;
        let mut cursor = self.open(first)?;
        for delta in deltas {
            cursor.advance(&self.open(delta)?).map_err(|_| InvalidCursor)?;
        }
        Ok(cursor)
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_protocol::cursor::Offsets;

    fn cursor(full: bool, offsets: &[(i32, i64)]) -> Cursor {
        let offsets: Offsets = offsets.iter().copied().collect();
        Cursor { tenant: "acme".into(), topic: "acme.orders".into(), topic_id: [7; 16], full, offsets }
    }

    #[test]
    fn another_node_with_the_key_opens_it() {
        let keys = || vec![MasterKey::new([1; 32])];
        let (here, there) = (Sealer::new(keys(), [1; 16]), Sealer::new(keys(), [2; 16]));
        let tokens = [here.seal(&cursor(true, &[(0, 5), (1, 1)])), here.seal(&cursor(false, &[(0, 9)]))];
        assert_eq!(there.open_all(&tokens), Ok(cursor(true, &[(0, 9), (1, 1)])));
        let stranger = Sealer::new(vec![MasterKey::new([2; 32])], [1; 16]);
        assert_eq!(stranger.open(&tokens[0]), Err(InvalidCursor));
    }

    #[test]
    fn keys_rotate() {
        let old = Sealer::new(vec![MasterKey::new([1; 32])], [1; 16]);
        let new = Sealer::new(vec![MasterKey::new([2; 32]), MasterKey::new([1; 32])], [2; 16]);
        assert!(new.open(&old.seal(&cursor(true, &[]))).is_ok());
        assert!(old.open(&new.seal(&cursor(true, &[]))).is_err());
    }

    #[test]
    fn any_changed_byte_is_found() {
        let sealer = Sealer::new(vec![MasterKey::new([1; 32])], [1; 16]);
        let token = BASE64.decode(sealer.seal(&cursor(true, &[(0, 5)]))).unwrap();
        for at in 0..token.len() {
            let mut forged = token.clone();
            forged[at] ^= 1;
            assert_eq!(sealer.open(&BASE64.encode(forged)), Err(InvalidCursor), "byte {at}");
        }
        for text in ["", "AAAA", "not base64!"] {
            assert_eq!(sealer.open(text), Err(InvalidCursor));
        }
    }
}
