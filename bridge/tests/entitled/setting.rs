//! A setting: tenants, topics, grants and tokens, drawn by chance and described plainly; as TOML for the bridge.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};

use super::chance::Chance;
use super::condition::{self, Cond};
use super::json::Json;
use super::reference;

/// Where a topic's records say whose they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    Name,
    Header(&'static str),
    Key,
    /// `tenant_id`, the extension `tenantid`, or in JSON `/owner/tenant`.
    Member,
    /// Nobody's: public.
    Nobody,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Format {
    Envelope,
    Json { constant: bool, pointers: bool },
    CloudEvents,
}

#[derive(Debug, Clone)]
pub struct Topic {
    pub name: &'static str,
    /// `{tenant}` stands for the tenant.
    pub physical: &'static str,
    pub source: Source,
    pub tenant_key: bool,
    pub format: Format,
    /// Stands before the physical name, so that several settings can lie on one log.
    pub prefix: String,
}

#[derive(Debug, Clone)]
pub struct Grant {
    pub role: &'static str,
    pub allow: Vec<&'static str>,
    pub topics: Vec<&'static str>,
    pub all_tenants: bool,
    pub condition: Option<Cond>,
}

/// What a token says.
#[derive(Debug, Clone)]
pub struct Token {
    pub tenant: &'static str,
    pub subject: &'static str,
    pub roles: Vec<&'static str>,
    pub claims: Json,
    pub expires: i64,
    pub issued: i64,
    pub text: String,
}

/// Who may do what.
#[derive(Debug, Clone)]
pub struct Setting {
    pub tenants: Vec<&'static str>,
    pub topics: Vec<Topic>,
    pub grants: Vec<Grant>,
    pub tokens: Vec<Token>,
}

/// When every case begins, where the clock is played.
pub const NOW: i64 = 1_800_000_000_000;

static BEGINS: AtomicI64 = AtomicI64::new(NOW);

/// About when a case begins.
pub fn begins() -> i64 {
    BEGINS.load(Ordering::Relaxed)
}

/// Says when cases begin, where the clock is the world's own.
pub fn begin_at(now: i64) {
    BEGINS.store(now, Ordering::Relaxed);
}

/// Names that are nearly one another's.
const TENANTS: [[&str; 3]; 4] =
    [["acme", "Acme", "globex"], ["acme", "acme2", "acm"], ["a", "a-a", "a_a"], ["acme", "globex", "order"]];
const ROLES: [&str; 3] = ["clerk", "viewer", "boss"];
const SUBJECTS: [&str; 3] = ["ada", "bob", "acme"];
/// No page may name these, and none of them is a topic here.
pub const NO_TOPICS: [&str; 12] = [
    "_tidegate.revocations",
    "_tidegate.consumers",
    "$ledger.x",
    "$events",
    "$",
    "",
    "*",
    "nosuch",
    "acme.orders",
    "globex.orders",
    "orders.*",
    "shop.carts",
];

impl Setting {
    pub fn draw(chance: &mut Chance) -> Self {
        let tenants = chance.pick(&TENANTS).to_vec();
        let topics = topics(chance);
        let grants = (0..6 + chance.below(7)).map(|_| grant(chance, &topics)).collect();
        let mut setting = Self { tenants, topics, grants, tokens: Vec::new() };
        for tenant in setting.tenants.clone() {
            for _ in 0..5 {
                let token = Token::draw(chance, tenant);
                setting.tokens.push(token);
            }
        }
        setting
    }

    /// The same tenants and tokens under other grants, perhaps without one of the topics.
    pub fn regranted(&self, chance: &mut Chance) -> Self {
        let mut other = Self { grants: Vec::new(), ..self.clone() };
        if chance.once_in(3) {
            other.topics.remove(chance.below(other.topics.len()));
        }
        other.grants = (0..6 + chance.below(7)).map(|_| grant(chance, &other.topics)).collect();
        other
    }

    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.name == name)
    }

    /// The configuration that says the same, of a bridge without a log.
    pub fn configuration(&self) -> String {
        "[log.sqlite]\npath = \"none.db\"\n".to_owned() + &self.rules()
    }

    /// Tokens, topics and grants, as configured.
    pub fn rules(&self) -> String {
        let secret = std::str::from_utf8(SECRET).expect("text");
        let mut out = format!("[tokens]\nalgorithms = [\"HS256\"]\nskew = \"0s\"\nsecret = {secret:?}\n");
        self.topics.iter().for_each(|topic| topic.write(&mut out));
        for grant in &self.grants {
            let Grant { role, allow, topics, .. } = grant;
            let _ = writeln!(out, "[[grants]]\nrole = {role:?}\nallow = {allow:?}\ntopics = {topics:?}");
            if grant.all_tenants {
                out.push_str("tenants = \"*\"\n");
            }
            if let Some(condition) = &grant.condition {
                let _ = writeln!(out, "where = '''{condition}'''");
            }
        }
        out
    }
}

impl Topic {
    /// The topic's name on the log, for a tenant.
    pub fn physical_of(&self, tenant: &str) -> String {
        self.prefix.clone() + &self.physical.replace("{tenant}", tenant)
    }

    /// Whether each tenant has its own.
    pub fn is_own(&self) -> bool {
        self.physical.contains("{tenant}")
    }

    pub fn is_public(&self) -> bool {
        self.source == Source::Nobody
    }

    /// Whether pages may be let put events on it: envelopes, and side by side only under keys that keep tenants apart.
    pub fn is_publishable(&self) -> bool {
        self.format == Format::Envelope && (self.is_own() || self.tenant_key)
    }

    fn write(&self, out: &mut String) {
        let Self { name, physical, source, tenant_key, format, prefix } = self;
        let physical = format!("{prefix}{physical}");
        let _ = writeln!(out, "[topics.{name:?}]\nphysical = {physical:?}");
        let _ = match source {
            Source::Name => writeln!(out, "tenant.from = \"name\""),
            Source::Header(header) => writeln!(out, "tenant.from = \"header\"\ntenant.header = {header:?}"),
            Source::Key => writeln!(out, "tenant.from = \"key\""),
            Source::Member if matches!(format, Format::Json { .. }) => {
                writeln!(out, "tenant.from = \"envelope\"\ntenant.pointer = \"/owner/tenant\"")
            }
            Source::Member => writeln!(out, "tenant.from = \"envelope\""),
            Source::Nobody => writeln!(out, "public = true"),
        };
        if *tenant_key {
            out.push_str("key = \"tenant/key\"\n");
        }
        match format {
            Format::Envelope => {}
            Format::CloudEvents => out.push_str("format = \"cloudevents\"\n"),
            Format::Json { constant, pointers } => {
                let event_type = if *constant { "order.seen" } else { "/kind" };
                let _ = writeln!(out, "format = \"json\"\njson.type = {event_type:?}");
                if *pointers {
                    out.push_str("json.id = \"/no\"\njson.key = \"/order\"\njson.timestamp = \"/at\"\n");
                }
            }
        }
    }
}

fn topics(chance: &mut Chance) -> Vec<Topic> {
    let format = |chance: &mut Chance| match chance.below(5) {
        0..=2 => Format::Envelope,
        3 => Format::Json { constant: chance.once_in(2), pointers: chance.once_in(2) },
        _ => Format::CloudEvents,
    };
    let source = |chance: &mut Chance| {
        *chance.pick(&[Source::Header("x-tenant"), Source::Header("tg_tenant"), Source::Key, Source::Member])
    };
    let mut all = Vec::new();
    for (name, physical) in [
        ("orders", "{tenant}.orders"),
        ("orders.eu", "eu.{tenant}.orders"),
        ("carts", "shop.carts"),
        ("carts.old", "carts"),
        ("news", "news"),
    ] {
        let own = physical.contains("{tenant}");
        let source = match name {
            "news" => Source::Nobody,
            // A topic of one's own may still take the tenant's name from elsewhere.
            _ if own && !chance.once_in(4) => Source::Name,
            _ => source(chance),
        };
        let format = format(chance);
        let tenant_key = if own || format != Format::Envelope { chance.once_in(4) } else { !chance.once_in(4) };
        all.push(Topic { name, physical, source, tenant_key, format, prefix: String::new() });
    }
    all.remove(chance.below(5));
    all
}

fn grant(chance: &mut Chance, topics: &[Topic]) -> Grant {
    let role = chance.word(&ROLES);
    let mut patterns = vec!["*", "*", "*", "orders.*"];
    patterns.extend(topics.iter().map(|topic| topic.name));
    let named = [chance.word(&patterns), chance.word(&patterns)];
    let named = named[..=chance.below(2)].to_vec();
    if chance.once_in(4) {
        let all_tenants = chance.once_in(2);
        return Grant { role, allow: vec!["observe"], topics: named, all_tenants, condition: None };
    }
    let mut allow = vec!["subscribe"];
    let more = ["publish", "replay"];
    allow.extend(more.iter().filter(|_| chance.once_in(2)));
    if chance.once_in(6) {
        allow.remove(0);
        allow.push(chance.word(&more));
        allow.dedup();
    }
    // The bridge refuses a configuration that would let tenants mix keys, or names what can't be published to.
    let refused = |topic: &&Topic| {
        let covered = reference::covers(named[0], topic.name) && topic.format == Format::Envelope;
        !topic.is_publishable() && (topic.name == named[0] || covered)
    };
    if topics.iter().any(|topic| refused(&topic)) {
        allow.retain(|action| *action != "publish");
        if allow.is_empty() {
            allow.push("subscribe");
        }
    }
    let conditional = allow[0] != "replay" && !chance.once_in(4);
    let condition = conditional.then(|| sound(chance));
    Grant { role, allow, topics: vec![named[0]], all_tenants: false, condition }
}

/// A condition that the bridge takes: it refuses those that compare kinds that never compare.
fn sound(chance: &mut Chance) -> Cond {
    loop {
        let drawn = condition::draw(chance, 2);
        if drawn.to_string().parse::<tidegate_gate::Condition>().is_ok() {
            return drawn;
        }
    }
}

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

impl Token {
    fn draw(chance: &mut Chance, tenant: &'static str) -> Self {
        let subject = chance.word(&SUBJECTS);
        let roles = chance.any(&ROLES);
        let text = |text: &&str| Json::text(text);
        let mut claims = vec![
            ("tenant".to_owned(), Json::text(tenant)),
            ("sub".to_owned(), Json::text(subject)),
            ("roles".to_owned(), Json::List(roles.iter().map(text).collect())),
        ];
        let mut add = |name: &str, value| claims.push((name.to_owned(), value));
        add("teams", Json::List(chance.some(&["ada", "eu", "bob", "acme"]).iter().map(text).collect()));
        add("mixed", Json::List(vec![Json::text("ada"), Json::Int(1), Json::Null]));
        let n = [Json::Int(1), Json::text("ada"), Json::Double(1.5), Json::Null, Json::Bool(true), Json::text("1")];
        if !chance.once_in(6) {
            add("n", chance.pick(&n).clone());
        }
        match chance.below(4) {
            0 => {}
            1 => add("org", Json::text("eu")),
            _ => add("org", Json::Object(vec![("id".to_owned(), chance.pick(&n).clone())])),
        }
        let until = [begins() + 20_000, begins() + 3_600_000, begins() - 1000];
        add("until", Json::text(&tidegate_protocol::timestamp::format(*chance.pick(&until))));
        let expires = begins() + if chance.once_in(4) { 30_000 } else { 3_600_000 };
        let issued = begins() - if chance.once_in(3) { 1_000 } else { 10_000 };
        add("iat", Json::Int((issued / 1000).into()));
        add("exp", Json::Int((expires / 1000).into()));
        add("jti", Json::Text(format!("t{}", chance.below(1_000_000))));
        let claims = Json::Object(claims);
        let text = sign(&claims.to_string());
        Self { tenant, subject, roles, claims, expires, issued, text }
    }
}

/// A token with these claims.
fn sign(claims: &str) -> String {
    let claims = serde_json::from_str(claims).expect("claims are an object");
    tidegate_gate::Signer::hs256(SECRET).sign(&claims).expect("a token is signed")
}
