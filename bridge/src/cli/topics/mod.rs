//! `tidegate topics`: what the configured topics come to on a live cluster, and making those that are missing.

mod acl;
mod commands;
mod plan;
mod show;

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use tidegate_log::{Log, Made, NewTopic};
use tidegate_protocol::ids;

use super::ConfigFile;
use crate::app::open_log;
use crate::config::{self, Config};
use plan::{Plan, Sizes, Tenants};

#[derive(Debug, Args)]
pub(super) struct Topics {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says how many topics, partitions and replicas the configuration comes to, what is missing or unwise, and which
    /// access the bridge needs.
    Plan(PlanArgs),
    /// Makes the topics that are missing. Those that are there stay as they are.
    Create(CreateArgs),
}

/// What is planned for.
#[derive(Debug, Args)]
struct Scope {
    #[command(flatten)]
    config: ConfigFile,
    /// A tenant; may be given several times. Without any, those that have a topic already.
    #[arg(long = "tenant", value_name = "NAME", value_parser = tenant)]
    tenants: Vec<String>,
    /// Partitions of each topic that is missing: `N`, or `TOPIC=N` for one; may be given several times. One keeps a whole
    /// topic in order; else one for each consumer that works beside others.
    #[arg(long, value_name = "[TOPIC=]N", value_parser = partitions)]
    partitions: Vec<(Option<String>, u32)>,
    /// Replicas of each topic that is missing, the leader with them. Without it three, or as many as there are brokers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    replication: Option<u32>,
    /// A setting of Kafka's for each configured topic that is missing, such as `retention.ms=604800000`.
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct PlanArgs {
    #[command(flatten)]
    scope: Scope,
    /// So many tenants in all, whoever they will be.
    #[arg(long = "tenants", value_name = "N", conflicts_with = "tenants")]
    count: Option<u32>,
    /// Who the bridge is for Kafka. Without it, `User:` and the configured sasl.username, or `User:tidegate`.
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    scope: Scope,
    /// Only prints the commands that would make them.
    #[arg(long)]
    dry_run: bool,
    /// Does not ask.
    #[arg(short, long)]
    yes: bool,
}

impl Topics {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Plan(args) => args.run(),
            Command::Create(args) => args.run(),
        }
    }
}

impl Scope {
    fn plan(&self, config: &Config, log: &dyn Log, count: Option<u32>) -> anyhow::Result<Plan> {
        for (topic, _) in &self.partitions {
            if let Some(topic) = topic
                && config.topics.get(topic).is_none()
            {
                bail!("--partitions {topic}=…: the configuration has no topic {topic:?}");
            }
        }
        let cluster = log.cluster().context("can not ask the log what there is")?;
        let tenants = match (count, self.tenants.as_slice()) {
            (Some(count), _) => Tenants::Assumed(count),
            (None, []) => Tenants::Found,
            (None, names) => Tenants::Named(names.to_vec()),
        };
        let sizes = Sizes {
            partitions: self.partitions.clone(),
            replicas: self.replication,
            settings: self.settings.iter().cloned().collect(),
        };
        let kafka = matches!(*config.log, config::Log::Kafka(_));
        let mut plan = Plan::new(&config.topics, kafka, &cluster, tenants, &sizes);
        let own = [plan::REVOCATIONS];
        plan.check_own(&log.topic_settings(&own).unwrap_or_default());
        Ok(plan)
    }
}

impl PlanArgs {
    fn run(self) -> anyhow::Result<()> {
        let config = self.scope.config.load()?;
        let log = open_log(&config.log).context("can not open the log")?;
        let plan = self.scope.plan(&config, &*log, self.count)?;
        let acls = match &*config.log {
            config::Log::Kafka(kafka) => {
                let principal = self.principal.unwrap_or_else(|| acl::usual_principal(kafka));
                acl::commands(&config.topics, &plan, &principal, &commands::Reach::new(kafka))
            }
            config::Log::Sqlite(_) => Vec::new(),
        };
        if self.json {
            println!("{}", show::json(&plan, &acls)?);
        } else {
            print!("{}", show::tables(&plan, &acls));
        }
        Ok(())
    }
}

impl CreateArgs {
    fn run(self) -> anyhow::Result<()> {
        let config = self.scope.config.load()?;
        let log = open_log(&config.log).context("can not open the log")?;
        let plan = self.scope.plan(&config, &*log, None)?;
        let missing = plan.missing();
        if self.dry_run {
            match &*config.log {
                config::Log::Kafka(kafka) => print!("{}", commands::create(&missing, &commands::Reach::new(kafka))),
                config::Log::Sqlite(_) => missing.iter().for_each(|topic| println!("{}", topic.name)),
            }
            return Ok(());
        }
        for warning in &plan.warnings {
            eprintln!("warning: {warning}");
        }
        if missing.is_empty() {
            println!("nothing to make: all {} topics are there", plan.total.topics);
            return Ok(());
        }
        if !self.yes && !confirmed(&missing)? {
            bail!("nothing was made");
        }
        create(&*log, &missing)
    }
}

/// Makes topics, and says of each what became of it.
fn create(log: &dyn Log, missing: &[NewTopic]) -> anyhow::Result<()> {
    let outcomes = log.create_topics(missing).context("can not make topics")?;
    let mut failed = 0;
    for (topic, outcome) in missing.iter().zip(&outcomes) {
        match outcome {
            Ok(Made::Created) => println!("made {}", topic.name),
            Ok(Made::Existed) => println!("there {}", topic.name),
            Err(error) => {
                failed += 1;
                eprintln!("failed {error}");
            }
        }
    }
    if failed > 0 {
        bail!(
            "{failed} of {} topics could not be made; what was made stays, and running this again goes on",
            missing.len()
        );
    }
    Ok(())
}

/// Asks whether to make so many.
fn confirmed(missing: &[NewTopic]) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("{} would be made; --yes makes them without asking, --dry-run prints the commands", show::sum(missing));
    }
    print!("Make {}? [y/N] ", show::sum(missing));
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn tenant(text: &str) -> Result<String, String> {
    if ids::is_tenant(text) { Ok(text.to_owned()) } else { Err("1 to 64 of letters, digits, '_' and '-'".to_owned()) }
}

fn partitions(text: &str) -> Result<(Option<String>, u32), String> {
    let (topic, number) = match text.split_once('=') {
        Some((topic, number)) => (Some(topic.to_owned()), number),
        None => (None, text),
    };
    let number = number.parse().ok().filter(|number| (1..=10_000).contains(number));
    number.map(|number| (topic, number)).ok_or_else(|| "a number from 1 to 10000, or TOPIC=NUMBER".to_owned())
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE".to_owned()),
    }
}
