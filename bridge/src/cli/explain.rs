//! `tidegate explain`: which grant lets a token's holder do something, or see an event, and why another does not.

use std::borrow::Cow;
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use tidegate_gate::{Action, Considered, Content, Facts, Headers, Outcome, Principal, Tokens};
use tidegate_log::{Record, TopicKey};
use tidegate_protocol::envelope::{Head, Stamp};
use tidegate_protocol::frame::Entry;
use tidegate_protocol::json::Raw;
use tidegate_protocol::{ids, timestamp};

use super::ConfigFile;
use crate::clock::Clock;
use crate::config::Config;
use crate::feed::{Decoded, Round, TopicTable, decode};

#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    config: ConfigFile,
    /// The token.
    #[arg(long, env = "TIDEGATE_TOKEN", hide_env_values = true)]
    token: String,
    /// The topic, by its logical name.
    #[arg(long)]
    topic: String,
    /// What is to be done.
    #[arg(long, default_value = "subscribe")]
    action: Action,
    /// An event: its JSON as it lies on the log or, with `--action publish`, as it is offered; `-` is standard input.
    #[arg(long)]
    event: Option<PathBuf>,
    /// The event's key.
    #[arg(long, requires = "event")]
    key: Option<String>,
    /// A header of the event's record, `name=value`; may be given several times.
    #[arg(long = "header", value_parser = header, requires = "event")]
    headers: Vec<(String, String)>,
    /// The topic that the event lies on, by its physical name; else the one that the token's tenant reads.
    #[arg(long, requires = "event")]
    physical: Option<String>,
}

/// An event as the gate looks at it.
struct Event<'a> {
    physical: &'a str,
    tenant: &'a str,
    content: Content<'a>,
}

/// The headers that were given.
#[derive(Debug)]
struct Given<'a>(&'a [(String, String)]);

/// What became of the event before the gate looks at it.
struct Prepared {
    physical: String,
    tenant: String,
    key: Option<String>,
    event: String,
    said: String,
}

impl Explain {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = self.config.load()?;
        let now = Clock.now();
        let tokens = Tokens::new((*config.tokens).clone())?;
        let principal = tokens.verify(&self.token, now).await.context("the token is not taken")?;
        let roles: Vec<&str> = principal.roles.iter().map(|role| &**role).collect();
        println!("token: tenant {}, subject {}, roles {}", principal.tenant, principal.subject, listed(&roles));
        let policy = config.policy();
        let prepared = match &self.event {
            Some(path) if policy.physical(&self.topic).is_some() => Some(self.prepare(&config, &principal, path, now)?),
            _ => None,
        };
        let given = Given(&self.headers);
        let event = prepared.as_ref().map(|prepared| {
            println!("event: {}", prepared.said);
            let content = Content::new(&prepared.event, prepared.key.as_deref(), &given, now);
            Event { physical: &prepared.physical, tenant: &prepared.tenant, content }
        });
        let explained = policy.explain(&principal, self.action, &self.topic, event.as_ref());
        for grant in &explained.grants {
            println!("{}", self.line(grant));
            if let Some(said) = &grant.condition {
                let source: Vec<&str> = said.source.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
                println!("    where {}", source.join("\n          "));
                println!("    {}:", said.value);
                for (name, value) in &said.reads {
                    println!("        {name} = {value}");
                }
            }
        }
        let answer = format!("{} {}: {}", self.action.name(), self.topic, explained.outcome);
        if !matches!(explained.outcome, Outcome::Allowed | Outcome::Admitted) {
            // The answer is for scripts too.
            bail!(answer);
        }
        println!("{answer}");
        Ok(())
    }

    fn line(&self, grant: &Considered) -> String {
        let why = match (grant.held, grant.allows, grant.covers) {
            (false, ..) => "does not apply: the token does not hold the role".to_owned(),
            (_, false, _) => format!("does not apply: it does not allow {}", self.action.name()),
            (.., false) => "does not apply: it is about other topics".to_owned(),
            _ if grant.condition.is_some() => "applies where its condition holds".to_owned(),
            _ => "applies".to_owned(),
        };
        format!("{}: grant to {:?} {why}", grant.origin, &*grant.role)
    }

    fn prepare(&self, config: &Config, who: &Principal, path: &PathBuf, now: i64) -> anyhow::Result<Prepared> {
        let text = if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(path)
        };
        let text = text.with_context(|| format!("can not read {}", path.display()))?;
        if self.action == Action::Publish {
            self.offered(config, who, &text, now)
        } else {
            self.read(config, who, &text)
        }
    }

    /// As it would be stamped.
    fn offered(&self, config: &Config, who: &Principal, text: &str, now: i64) -> anyhow::Result<Prepared> {
        let head = Head::read(text).context("is no event")?;
        head.check(now, config.tokens.skew_ms).context("is no valid event")?;
        let stamp = Stamp {
            tenant: &who.tenant,
            subject: &who.subject,
            id: &ids::uuid_v7(now.unsigned_abs(), [0; 10]),
            timestamp: &timestamp::format(now),
        };
        let stamped = head.stamp(&stamp).context("is no valid event")?;
        let physical = config.policy().physical(&self.topic).map(|name| name.of(&who.tenant));
        Ok(Prepared {
            physical: physical.unwrap_or_default().to_string(),
            tenant: who.tenant.to_string(),
            key: Some(self.key.clone().unwrap_or(stamped.key)),
            said: format!("stamped as tenant {}, subject {}", who.tenant, who.subject),
            event: stamped.text,
        })
    }

    /// As a feed would read it.
    fn read(&self, config: &Config, who: &Principal, text: &str) -> anyhow::Result<Prepared> {
        let physical = match (&self.physical, config.policy().physical(&self.topic)) {
            (Some(physical), _) => physical.clone(),
            (None, Some(name)) => name.of(&who.tenant).to_string(),
            (None, None) => bail!("there is no topic {:?}", self.topic),
        };
        let table =
            TopicTable::new(std::sync::Arc::clone(&config.topics), std::sync::Arc::new(config.policy()), usize::MAX);
        let spec = table.spec(&physical).with_context(|| format!("no configured topic lies on {physical:?}"))?;
        let given = Given(&self.headers);
        let record = Record {
            partition: 0,
            offset: 0,
            timestamp: None,
            key: self.key.as_deref().map(str::as_bytes),
            value: Some(text.as_bytes()),
            headers: &given,
        };
        let mut round = Round::default();
        if let Decoded::Quarantined(reason) = decode(&spec, TopicKey(0), &record, &mut round) {
            bail!("the event would be quarantined, and nobody would see it: {reason}");
        }
        let entry = round.entries.first().context("there is no event")?;
        let tenant = round.tenant(entry).to_owned();
        let wire = std::str::from_utf8(round.wire(entry))?;
        let raw = Raw::parse(wire)?;
        let shown = Entry::read(&raw).context("there is no event")?;
        let whose =
            if tenant.is_empty() { "nobody's: the topic is public".to_owned() } else { format!("tenant {tenant}'s") };
        Ok(Prepared {
            said: format!("{} on {physical}, {whose} (tenant.from: {:?})", round.event_type(entry), spec.tenant),
            key: shown.key.map(Cow::into_owned),
            event: shown.event.to_owned(),
            physical,
            tenant,
        })
    }
}

impl Facts for Event<'_> {
    fn topic(&self) -> &str {
        self.physical
    }

    fn tenant(&self) -> &str {
        self.tenant
    }

    fn content(&self) -> Option<&Content<'_>> {
        Some(&self.content)
    }
}

impl Headers for Given<'_> {
    fn last(&self, name: &str) -> tidegate_gate::Header<'_> {
        let found = self.0.iter().rev().find(|(known, _)| known == name);
        found.map_or(tidegate_gate::Header::Missing, |(_, value)| tidegate_gate::Header::Value(value.as_bytes()))
    }
}

impl tidegate_log::Headers for Given<'_> {
    fn visit<'h>(&'h self, each: &mut dyn FnMut(&'h str, Option<&'h [u8]>) -> bool) {
        let _ = self.0.iter().all(|(name, value)| each(name, Some(value.as_bytes())));
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
