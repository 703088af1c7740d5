//! What two configurations differ in: what a reload applies, and what it has to leave until a restart.

use serde::Serialize;
use tidegate_gate::Grant;

use crate::config::{Config, Server, Topics};

/// The difference between two configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// `[[grants]]`
    pub grants: Grants,
    /// `[topics]`
    pub topics: Named,
    /// Whether `[tokens]` is another.
    pub tokens: bool,
    /// Whether `[limits]` is another.
    pub limits: bool,
    /// Keys and sections that changed and are not applied until a restart.
    #[serde(rename = "not_applied_until_restart", skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<&'static str>,
}

/// How many grants came and went. One that was changed is both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Grants {
    /// New ones.
    pub added: usize,
    /// Ones that are gone.
    pub removed: usize,
}

/// Topics that came, went and changed, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Named {
    /// New ones.
    pub added: Vec<String>,
    /// Ones that are gone.
    pub removed: Vec<String>,
    /// Ones that lie elsewhere or are read otherwise.
    pub changed: Vec<String>,
}

impl Changes {
    /// What the newer configuration says otherwise than the older.
    pub fn between(older: &Config, newer: &Config) -> Self {
        Self {
            grants: Grants::between(&older.grants, &newer.grants),
            topics: Named::between(&older.topics, &newer.topics),
            tokens: older.tokens != newer.tokens,
            limits: older.limits != newer.limits,
            restart: restart(older, newer),
        }
    }
}

impl Grants {
    fn between(older: &[Grant], newer: &[Grant]) -> Self {
        // Where a grant stands in the file, and in which order, says nothing.
        let bare = |grant: &Grant| Grant { origin: "".into(), ..grant.clone() };
        let mut gone: Vec<Grant> = older.iter().map(bare).collect();
        let mut added = 0;
        for grant in newer.iter().map(bare) {
            match gone.iter().position(|known| *known == grant) {
                Some(at) => drop(gone.swap_remove(at)),
                None => added += 1,
            }
        }
        Self { added, removed: gone.len() }
    }
}

impl Named {
    fn between(older: &Topics, newer: &Topics) -> Self {
        let mut named = Self::default();
        for topic in newer.iter() {
            match older.get(&topic.name) {
                None => named.added.push(topic.name.to_string()),
                Some(known) if known != topic => named.changed.push(topic.name.to_string()),
                Some(_) => {}
            }
        }
        let gone = older.iter().filter(|topic| newer.get(&topic.name).is_none());
        named.removed.extend(gone.map(|topic| topic.name.to_string()));
        named
    }
}

/// What is fixed when a node starts.
fn restart(older: &Config, newer: &Config) -> Vec<&'static str> {
    let differing = |(name, same): (&'static str, bool)| (!same).then_some(name);
    // Every field is named, so that a new one can not be forgotten.
    let Config {
        server,
        limits: _,
        log,
        tokens: _,
        topics: _,
        grants: _,
        cursors,
        window,
        catch_up,
        revocation,
        admin,
    } = older;
    let sections = [
        ("log", *log == newer.log),
        ("cursors", *cursors == newer.cursors),
        ("window", *window == newer.window),
        ("catch_up", *catch_up == newer.catch_up),
        ("revocation", *revocation == newer.revocation),
        ("admin", *admin == newer.admin),
    ];
    let Server {
        listen,
        node,
        allowed_origins,
        public_url,
        handshake_timeout,
        heartbeat_interval,
        heartbeat_timeout,
        drain_timeout,
        shards,
        max_connections,
        tls,
    } = &**server;
    let newer = &newer.server;
    let keys = [
        ("server.listen", *listen == newer.listen),
        ("server.node", *node == newer.node),
        ("server.allowed_origins", *allowed_origins == newer.allowed_origins),
        ("server.public_url", *public_url == newer.public_url),
        ("server.handshake_timeout", *handshake_timeout == newer.handshake_timeout),
        ("server.heartbeat_interval", *heartbeat_interval == newer.heartbeat_interval),
        ("server.heartbeat_timeout", *heartbeat_timeout == newer.heartbeat_timeout),
        ("server.drain_timeout", *drain_timeout == newer.drain_timeout),
        ("server.shards", *shards == newer.shards),
        ("server.max_connections", *max_connections == newer.max_connections),
        ("server.tls", *tls == newer.tls),
    ];
    keys.into_iter().chain(sections).filter_map(differing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn config(text: &str) -> Config {
        let text =
            format!("[log]\nkind = 'sqlite'\n[tokens]\nalgorithms = ['HS256']\nsecret = '{}'\n{text}", "x".repeat(43));
        config::parse(&text, "tidegate.toml", std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}")).config
    }

    const ORDERS: &str = "[topics.orders]\nphysical = '{tenant}.orders'\n";

    fn grant(role: &str, more: &str) -> String {
        format!("[[grants]]\nrole = '{role}'\nallow = ['subscribe']\ntopics = ['orders']\n{more}\n")
    }

    #[test]
    fn where_grants_stand_says_nothing() {
        let (clerk, lead) = (grant("clerk", "where = 'event.data.user == claims.sub'"), grant("lead", ""));
        let older = config(&format!("{ORDERS}{clerk}{lead}"));
        let newer = config(&format!("\n\n{ORDERS}# {}\n{lead}{clerk}", "moved"));
        assert_eq!(Changes::between(&older, &newer), Changes::default());
        let newer = config(&format!("{ORDERS}{lead}{lead}{}", grant("clerk", "where = 'event.data.user == \"ada\"'")));
        assert_eq!(Changes::between(&older, &newer).grants, Grants { added: 2, removed: 1 });
    }

    #[test]
    fn topics_are_named() {
        let older = config(&format!("{ORDERS}[topics.news]\npublic = true\n"));
        let newer =
            config("[topics.orders]\nphysical = '{tenant}.v2.orders'\n[topics.more]\nphysical = '{tenant}.more'\n");
        let list = |name: &str| vec![name.to_owned()];
        let expected = Named { added: list("more"), removed: list("news"), changed: list("orders") };
        assert_eq!(Changes::between(&older, &newer).topics, expected);
    }

    #[test]
    fn what_is_fixed_is_named() {
        let older = config(ORDERS);
        let newer = config(&format!(
            "{ORDERS}[server]\nlisten = '127.0.0.1:1'\n[window]\nbytes = '2MiB'\n[limits]\nunsettled = 5\n"
        ));
        let changes = Changes::between(&older, &newer);
        assert_eq!(changes.restart, ["server.listen", "window"]);
        assert!(changes.limits && !changes.tokens);
    }
}
