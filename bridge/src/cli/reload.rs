//! `tidegate reload`: lets a running bridge read its configuration again, through its admin API.

use clap::Args;
use serde_json::Value;

use super::revoke::Admin;
use crate::transport::Method;

const PATH: &str = "/v1/admin/reload";

#[derive(Debug, Args)]
#[command(
    after_help = "Grants, topics, tokens and limits are exchanged while sessions are open; who is not concerned does not \
    notice. If anything in the file is wrong, nothing changes. SIGHUP does the same."
)]
pub(super) struct Reload {
    #[command(flatten)]
    admin: Admin,
    /// Prints the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (_, answer) = self.admin.client()?.call(Method::POST, PATH, &[], None).await?;
        if self.json {
            println!("{answer}");
            return Ok(());
        }
        for warning in texts(&answer["warnings"]) {
            eprintln!("warning: {warning}");
        }
        let (grants, topics) = (&answer["grants"], &answer["topics"]);
        println!("grants     {} added, {} removed", grants["added"], grants["removed"]);
        for what in ["added", "removed", "changed"] {
            let names = texts(&topics[what]);
            if !names.is_empty() {
                println!("topics     {what}: {}", names.join(", "));
            }
        }
        for section in ["tokens", "limits"] {
            if answer[section] == true {
                println!("{section:<10} changed");
            }
        }
        let told = [&answer["sessions_told"], &answer["subscriptions_moved"], &answer["subscriptions_ended"]];
        println!("sessions   {} told: {} subscriptions moved, {} ended", told[0], told[1], told[2]);
        let restart = texts(&answer["not_applied_until_restart"]);
        if !restart.is_empty() {
            eprintln!("warning: not applied until restart: {}", restart.join(", "));
        }
        Ok(())
    }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
