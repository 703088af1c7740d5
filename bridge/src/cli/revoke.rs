//! `tidegate revoke`: ends sessions and refuses their tokens, through a bridge's admin API.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use tidegate_gate::Target;
use tidegate_protocol::timestamp;

use crate::transport::{AdminClient, Method};

const PATH: &str = "/v1/admin/revocations";

#[derive(Debug, Args)]
#[command(
    after_help = "Every token of the target that was issued until now is refused from now on, on every node, and its open \
    sessions end; newer tokens pass. Sign the user out at your identity provider first."
)]
pub(super) struct Revoke {
    #[command(flatten)]
    admin: Admin,
    /// The tenant; alone, all of it.
    #[arg(long)]
    tenant: Option<String>,
    /// One subject of the tenant.
    #[arg(long, requires = "tenant", conflicts_with_all = ["token_id", "session"])]
    subject: Option<String>,
    /// One token of the tenant, by its `jti`.
    #[arg(long, requires = "tenant", conflicts_with = "session")]
    token_id: Option<String>,
    /// One session, by its id. Its token stays good.
    #[arg(long, conflicts_with = "tenant")]
    session: Option<String>,
    /// Why, for whoever looks later.
    #[arg(long)]
    reason: Option<String>,
    /// Tokens issued until then (RFC 3339), rather than until now.
    #[arg(long)]
    issued_before: Option<String>,
    /// Takes a revocation back.
    #[arg(long, conflicts_with_all = ["reason", "issued_before"])]
    lift: bool,
    /// Lists what is revoked, one a line.
    #[arg(long, conflicts_with_all = ["lift", "reason", "issued_before", "tenant", "subject", "token_id", "session"])]
    list: bool,
}

/// Which admin API, and with which key.
#[derive(Debug, Args)]
pub(super) struct Admin {
    /// The admin API's address.
    #[arg(long = "admin", env = "TIDEGATE_ADMIN", default_value = "http://127.0.0.1:8081")]
    url: String,
    /// A file with the key; else it is taken from the environment (`TIDEGATE_ADMIN_KEY`).
    #[arg(long = "admin-key-file", env = "TIDEGATE_ADMIN_KEY_FILE")]
    key_file: Option<PathBuf>,
}

impl Admin {
    pub(super) fn client(&self) -> anyhow::Result<AdminClient> {
        let key = match &self.key_file {
            Some(path) => std::fs::read_to_string(path).with_context(|| format!("can not read {}", path.display()))?,
            None => std::env::var("TIDEGATE_ADMIN_KEY")
                .context("set TIDEGATE_ADMIN_KEY or --admin-key-file: one of the bridge's admin.keys")?,
        };
        Ok(AdminClient::new(&self.url, &key)?)
    }
}

impl Revoke {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let client = self.admin.client()?;
        if self.list {
            let (_, answer) = client.call(Method::GET, PATH, &[], None).await?;
            for revocation in answer["revocations"].as_array().into_iter().flatten() {
                println!("{}", line(revocation));
            }
            if let Some(reason) = answer["reason"].as_str() {
                eprintln!("warning: the list is not complete: {reason}");
            }
            return Ok(());
        }
        let target = self.target()?;
        let (_, answer) = if self.lift {
            let mut query = vec![("kind", target.kind())];
            query.extend(target.tenant().map(|tenant| ("tenant", tenant)));
            query.extend(target.value().map(|value| ("value", value)));
            client.call(Method::DELETE, PATH, &query, None).await?
        } else {
            let body = json!({
                "kind": target.kind(),
                "tenant": target.tenant(),
                "value": target.value(),
                "issued_before": self.issued_before,
                "reason": self.reason,
            });
            client.call(Method::POST, PATH, &[], Some(&body)).await?
        };
        let done = if self.lift { "lifted" } else { "revoked" };
        let position = &answer["position"];
        println!("{done} {target} ({}[{}] at {})", text(&position["topic"]), position["partition"], position["offset"]);
        if answer["applied"] != true {
            eprintln!("warning: the log has it, but this node has not read it yet");
        }
        Ok(())
    }

    fn target(&self) -> anyhow::Result<Target> {
        let tenant = self.tenant.as_deref();
        let target = match (tenant, &self.subject, &self.token_id, &self.session) {
            (_, Some(subject), ..) => Target::new("subject", tenant, Some(subject)),
            (_, _, Some(id), _) => Target::new("token", tenant, Some(id)),
            (.., Some(id)) => Target::new("session", None, Some(id)),
            (Some(_), ..) => Target::new("tenant", tenant, None),
            _ => bail!("say what to revoke: --tenant, with --subject or --token-id; or --session (or --list)"),
        };
        Ok(target?)
    }
}

fn line(revocation: &Value) -> String {
    let parts = [&revocation["kind"], &revocation["tenant"], &revocation["value"]];
    let target: Vec<&str> = parts.into_iter().filter_map(Value::as_str).collect();
    let since = revocation["issued_before"].as_i64().map(timestamp::format).unwrap_or_default();
    let reason = revocation["reason"].as_str().map(|reason| format!("  {reason}")).unwrap_or_default();
    format!("{since}  {}{reason}", target.join("/"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
