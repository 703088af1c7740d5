//! `[tokens]`: what tokens must be like, and what they are verified with.

use std::path::{Path, PathBuf};

use tidegate_gate::{ClaimMapping, KeySource, TokenOptions, Tokens};

use super::load::resolve;
use super::section::{self, Section};

const SOURCES: [&str; 5] = ["key_file", "secret_file", "secret", "jwks_file", "jwks_url"];

pub(super) fn read(mut section: Section<'_>, folder: &Path) -> Option<TokenOptions> {
    let algorithms = section.list("algorithms", section::parsed);
    if section.list_is_empty("algorithms") {
        let problem = "must name what tokens are signed with: \"HS256\", \"RS256\", \"ES256\", \"EdDSA\"";
        section.problem("algorithms", problem);
    }
    let keys = read_source(&mut section, folder);
    let issuer = section.text("issuer");
    let audience = section.list("audience", |name| match name {
        "" => Err("must not be empty".to_owned()),
        name => Ok(name.to_owned()),
    });
    let zero = std::time::Duration::ZERO;
    let skew = section.duration("skew", zero..=std::time::Duration::from_mins(5));
    let minute = std::time::Duration::from_mins(1);
    let max_life = section.duration("max_life", minute..=minute * 60 * 24 * 3650);
    let max_bytes = section.size("max_bytes", 512..=28 << 10);
    let claims = read_claims(section.section_or_empty("claims"));
    if issuer.is_none() && matches!(keys, Some((_, KeySource::JwksUrl(_)))) {
        section.warning("issuer", "not set: every token signed by the keys of jwks_url is taken");
    }
    let options = algorithms.zip(keys).map(|(algorithms, (key, source))| {
        let usual = TokenOptions::new(algorithms, source);
        let options = TokenOptions {
            issuer,
            audience: audience.unwrap_or_default(),
            skew_ms: skew.map_or(usual.skew_ms, |skew| skew.as_millis() as i64),
            max_life_ms: max_life.map(|life| life.as_millis() as i64),
            max_bytes: max_bytes.map_or(usual.max_bytes, |bytes| bytes as usize),
            claims,
            ..usual
        };
        // Keys that can not be read or fit no algorithm are found now rather than with the first page.
        if !options.algorithms.is_empty()
            && let Err(error) = Tokens::new(options.clone())
        {
            section.problem(key, error.to_string());
        }
        options
    });
    section.finish();
    options
}

fn read_source(section: &mut Section<'_>, folder: &Path) -> Option<(&'static str, KeySource)> {
    let given: Vec<&'static str> = SOURCES.into_iter().filter(|key| section.has(key)).collect();
    let path = |section: &mut Section<'_>, key| -> Option<PathBuf> {
        let path = section.text(key)?;
        Some(resolve(Path::new(&path), folder, section.place_of(key)))
    };
    let sources = [
        path(section, "key_file").map(|path| ("key_file", KeySource::PemFile(path))),
        path(section, "secret_file").map(|path| ("secret_file", KeySource::SecretFile(path))),
        section.text("secret").map(|secret| ("secret", KeySource::Secret(secret.into_bytes()))),
        path(section, "jwks_file").map(|path| ("jwks_file", KeySource::JwksFile(path))),
        section.text("jwks_url").map(|url| ("jwks_url", KeySource::JwksUrl(url))),
    ];
    match given.as_slice() {
        [one] => {
            let source = sources.into_iter().flatten().next();
            match &source {
                Some((_, KeySource::Secret(_))) => {
                    section.warning("secret", "a secret in a configuration is easily shown; use secret_file");
                }
                Some((_, KeySource::JwksUrl(url))) if url.starts_with("http://") && !is_loopback(url) => {
                    section.warning(one, "keys fetched over http:// can be replaced on their way; use https://");
                }
                _ => {}
            }
            source
        }
        [] => {
            section.problem_here(format!("needs one of {}", SOURCES.join(", ")));
            None
        }
        [_, others @ ..] => {
            for key in others {
                section.problem(key, format!("only one of {} may be set", given.join(", ")));
            }
            None
        }
    }
}

fn is_loopback(url: &str) -> bool {
    let authority = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|host| authority.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':')))
}

fn read_claims(mut section: Section<'_>) -> ClaimMapping {
    let usual = ClaimMapping::default();
    let mut name = |key, usual| {
        let claim = section.read(key, |value| match section::text(value)? {
            "" => Err("must name a claim".to_owned()),
            claim => Ok(claim.to_owned()),
        });
        claim.unwrap_or(usual)
    };
    let (tenant, subject, roles) =
        (name("tenant", usual.tenant), name("subject", usual.subject), name("roles", usual.roles));
    let mapping = ClaimMapping {
        tenant,
        subject,
        roles,
        tenant_prefix: section.text("tenant_prefix"),
        role_prefix: section.text("role_prefix"),
    };
    section.finish();
    mapping
}
