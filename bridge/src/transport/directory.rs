//! Who is where: a client that comes again takes the place of its older session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_gate::Principal;
use tidegate_protocol::code;

use super::shard_handle::ShardHandle;
use crate::fanout::{Input, SessionKey};

/// Sessions of a node by (tenant, subject, client): a newer one replaces the older, whichever shard it lives in.
#[derive(Default)]
pub struct Directory {
    sessions: Mutex<HashMap<Identity, (usize, SessionKey)>>,
    shards: Mutex<Vec<ShardHandle>>,
}

pub(super) type Identity = (Arc<str>, Arc<str>, Arc<str>);

pub(super) fn identity(principal: &Principal, client: &Arc<str>) -> Identity {
    (Arc::clone(&principal.tenant), Arc::clone(&principal.subject), Arc::clone(client))
}

impl Directory {
    /// The shards, once they all run.
    pub fn set_shards(&self, shards: Vec<ShardHandle>) {
        *self.shards.lock().unwrap_or_else(PoisonError::into_inner) = shards;
    }

    pub(super) fn has(&self, identity: &Identity) -> bool {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).contains_key(identity)
    }

    pub(super) fn enter(&self, identity: Identity, at: (usize, SessionKey)) {
        let older = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(identity, at);
        if let Some((shard, key)) = older
            && let Some(shard) = self.shards.lock().unwrap_or_else(PoisonError::into_inner).get(shard)
        {
            shard.input(Input::End(key, code::REPLACED));
        }
    }

    pub(super) fn leave(&self, identity: &Identity, at: (usize, SessionKey)) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.get(identity) == Some(&at) {
            sessions.remove(identity);
        }
    }
}
