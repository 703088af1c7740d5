//! `tidegate dev`: a bridge on the embedded log, with two tenants whose demo producers and consumers keep every curve
//! of the dashboard moving.

mod consumers;
mod producers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use clap::Args;
use serde_json::Map;
use tidegate_gate::{ClaimMapping, Signer, TokenRequest};

use super::serve::stopped;
use crate::app::{Extras, Node, open_log};
use crate::clock::Clock;
use crate::config;
use crate::telemetry;
use crate::transport::{Assets, DevToken};

/// Who takes part in the demo.
const TENANTS: [&str; 2] = ["acme", "globex"];

/// How long the demo's tokens are good.
const TOKEN_SECONDS: i64 = 3600;

#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Address and port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A folder of files to serve: `client/`, `dashboard/`, `demo/`.
    #[arg(long, env = "TIDEGATE_ASSETS")]
    assets: Option<PathBuf>,
    /// Where the embedded log lies; without, in a temporary folder that is gone afterwards.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Starts no demo producers and consumers.
    #[arg(long)]
    quiet: bool,
}

impl Dev {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        telemetry::start_logging(false);
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
        let secret = BASE64.encode(secret);
        let folder = Folder::open(self.data)?;
        let mut admin_key = [0; 32];
        aws_lc_rs::rand::fill(&mut admin_key).map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
        let admin_key = BASE64.encode(admin_key);
        let text = configuration(self.listen, &secret, &admin_key, &folder.path);
        let loaded = config::parse(&text, "the demo's configuration", std::iter::empty());
        let config = loaded.map_err(|problems| anyhow::anyhow!("{problems}"))?.config;
        let assets = self.assets.as_deref().map(Assets::read).transpose().context("can not read the assets")?;
        let log = open_log(&config.log).context("can not open the log")?;
        let tokens = dev_tokens(&secret);
        let extras = Extras { assets: assets.unwrap_or_default(), dev_token: Some(Arc::clone(&tokens)), source: None };
        let node = Node::start(&config, Arc::clone(&log), extras).await;
        let node = node.with_context(|| format!("can not start on {}", self.listen))?;
        let address = node.server.address;
        if !self.quiet {
            producers::start(&log, TENANTS);
            consumers::start(address, TENANTS, &tokens);
        }
        let token = tokens("acme", "operator", &["operator".into()]).unwrap_or_default();
        println!("dashboard  http://{address}/dashboard/#token={token}");
        if let Some(admin) = &node.admin {
            println!(
                "admin      TIDEGATE_ADMIN=http://{} TIDEGATE_ADMIN_KEY={admin_key} tidegate revoke --list",
                admin.address
            );
        }
        println!("ready      open http://{address}/demo/");
        stopped().await?;
        node.stop().await;
        Ok(())
    }
}

fn configuration(listen: SocketAddr, secret: &str, admin_key: &str, data: &std::path::Path) -> String {
    let path = data.join("log.sqlite");
    format!(
        r#"
[server]
listen = "{listen}"
node = "dev"
drain_timeout = "1s"
[log]
kind = "sqlite"
[log.sqlite]
path = '{}'
partitions = 3
[tokens]
algorithms = ["HS256"]
secret = "{secret}"
[admin]
listen = "127.0.0.1:0"
[admin.keys]
dev = "{admin_key}"
[topics.orders]
tenant.from = "envelope"
key = "tenant/key"
[topics.invoices]
physical = "{{tenant}}.invoices"
tenant.from = "name"
[topics.carts]
tenant.from = "envelope"
key = "tenant/key"
[[grants]]
role = "member"
allow = ["subscribe", "publish", "replay"]
topics = ["*"]
[[grants]]
role = "operator"
allow = ["observe"]
topics = ["*"]
tenants = "*"
"#,
        path.display()
    )
}

fn dev_tokens(secret: &str) -> DevToken {
    let signer = Signer::hs256(secret.as_bytes());
    Arc::new(move |tenant, user, roles| {
        let roles = if roles.is_empty() { vec!["member".to_owned()] } else { roles.to_vec() };
        let request = TokenRequest {
            tenant: tenant.to_owned(),
            subject: user.to_owned(),
            roles,
            issued_at: Clock.now(),
            lifetime_s: TOKEN_SECONDS,
            issuer: None,
            audience: None,
            claims: Map::new(),
        };
        signer.token(&request, &ClaimMapping::default()).ok()
    })
}

/// Where the embedded log lies.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn open(given: Option<PathBuf>) -> anyhow::Result<Self> {
        let temporary = given.is_none();
        let path = given.unwrap_or_else(|| std::env::temp_dir().join(format!("tidegate-dev-{}", std::process::id())));
        std::fs::create_dir_all(&path).with_context(|| format!("can not make {}", path.display()))?;
        Ok(Self { path, temporary })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
