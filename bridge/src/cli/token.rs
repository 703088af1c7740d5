//! `tidegate token`: a token for trying things out, signed with the configured secret or a private key.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Map;
use tidegate_gate::{Algorithm, Signer, TokenRequest};

use super::ConfigFile;
use crate::clock::Clock;

#[derive(Debug, Args)]
pub(super) struct Token {
    #[command(flatten)]
    config: ConfigFile,
    /// Whose it is.
    #[arg(long)]
    tenant: String,
    /// Who it is for.
    #[arg(long, default_value = "somebody")]
    subject: String,
    /// A role that it holds; may be given several times.
    #[arg(long = "role")]
    roles: Vec<String>,
    /// How long it is good, in seconds.
    #[arg(long, default_value_t = 3600)]
    expires_in: i64,
    /// The private key (PKCS #8 PEM) to sign with, unless the configuration has a secret.
    #[arg(long)]
    key: Option<PathBuf>,
    /// A further claim, `name=JSON`; may be given several times.
    #[arg(long = "claim", value_parser = claim)]
    claims: Vec<(String, serde_json::Value)>,
}

impl Token {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = self.config.load()?;
        let options = &config.tokens;
        let algorithm = *options.algorithms.first().context("tokens.algorithms is empty")?;
        let signer = match &self.key {
            Some(path) => {
                let pem = std::fs::read(path).with_context(|| format!("can not read {}", path.display()))?;
                Signer::from_pem(algorithm, &pem)?
            }
            None => match options.keys.secret()? {
                Some(secret) if algorithm == Algorithm::Hs256 => Signer::hs256(&secret),
                _ => bail!("the configuration has public keys only: name the private key with --key"),
            },
        };
        let request = TokenRequest {
            tenant: self.tenant,
            subject: self.subject,
            roles: self.roles,
            issued_at: Clock.now(),
            lifetime_s: self.expires_in,
            issuer: options.issuer.clone(),
            audience: options.audience.first().cloned(),
            claims: self.claims.into_iter().collect::<Map<_, _>>(),
        };
        println!("{}", signer.token(&request, &options.claims)?);
        Ok(())
    }
}

fn claim(text: &str) -> Result<(String, serde_json::Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be name=value")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}
