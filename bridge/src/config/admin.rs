//! `[admin]`: the listener for operators, and the keys that open it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::section::{self, Section};

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Address and port of its own listener.
    pub listen: SocketAddr,
    /// Who may come, by the name that the audit log shows.
    pub keys: Vec<(Arc<str>, AdminKey)>,
}

/// A secret that opens the admin API.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminKey(pub Arc<str>);

impl std::fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminKey(…)")
    }
}

/// Shorter ones could be guessed.
const SHORTEST: usize = 32;

/// Longer ones fit into no header.
const LONGEST: usize = 1024;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

pub(super) fn read(mut section: Section<'_>, folder: &Path) -> Option<Admin> {
    let listen = section.read("listen", |value| {
        let text = section::text(value)?;
        text.parse::<SocketAddr>().map_err(|_| format!("{text:?} is no address: write \"127.0.0.1:8081\""))
    });
    let listen = listen.unwrap_or(DEFAULT_LISTEN);
    if !listen.ip().is_loopback() {
        section.warning(
            "listen",
            "the admin API speaks plain HTTP, and its keys with it: put TLS before it, or listen on 127.0.0.1",
        );
    }
    let keys = read_keys(&section.section_or_empty("keys"), folder);
    if keys.as_ref().is_some_and(Vec::is_empty) {
        section
            .problem("keys", "needs at least one: [admin.keys] with NAME = \"file:PATH\" (`openssl rand -base64 32`)");
    }
    section.finish();
    Some(Admin { listen, keys: keys? })
}

/// `None`: some are wrong, and that was said.
fn read_keys(section: &Section<'_>, folder: &Path) -> Option<Vec<(Arc<str>, AdminKey)>> {
    let mut good = true;
    let mut keys: Vec<(Arc<str>, AdminKey)> = Vec::new();
    for (name, place, value) in section.members() {
        let read = || {
            let text = section::text(value)?;
            let key = match text.strip_prefix("file:") {
                None => {
                    if matches!(place, super::Place::Line(..)) {
                        section.warning(name, "a secret in a configuration is easily shown; use \"file:PATH\"");
                    }
                    text.to_owned()
                }
                Some(path) => {
                    let path = super::load::resolve(Path::new(path), folder, place);
                    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?
                }
            };
            let key = key.trim();
            // Never quote what may be a key.
            if !(SHORTEST..=LONGEST).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!(
                    "must be {SHORTEST} to {LONGEST} visible ASCII characters (`openssl rand -base64 32`), or file:PATH of a file with them"
                ));
            }
            Ok(AdminKey(key.into()))
        };
        match read() {
            Ok(key) if keys.iter().any(|(_, other)| *other == key) => {
                good = false;
                section.problem(name, "is the key of another name too: the audit log could not tell them apart");
            }
            Ok(key) => keys.push((name.into(), key)),
            Err(text) => {
                good = false;
                section.problem(name, text);
            }
        }
    }
    good.then_some(keys)
}
