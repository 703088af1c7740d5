//! `[server]`: where the bridge listens, whom it lets in, and how it keeps and ends connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::load::resolve;
use super::section::Section;

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Address and port of the HTTP listener.
    pub listen: SocketAddr,
    /// Names this node in `welcome`, the ledger and metrics.
    pub node: Arc<str>,
    /// Which pages may connect.
    pub allowed_origins: Origins,
    /// Where pages reach the bridge, if not under the name that they send as `Host`.
    pub public_url: Option<String>,
    /// A connection that has not said `hello` by then is closed.
    pub handshake_timeout: Duration,
    /// How often a `ping` is sent.
    pub heartbeat_interval: Duration,
    /// How long its `pong` may take.
    pub heartbeat_timeout: Duration,
    /// Over how long a draining node spreads the return of its clients, and waits for them to go.
    pub drain_timeout: Duration,
    /// Threads of fan-out.
    pub shards: usize,
    /// Connections beyond this are refused.
    pub max_connections: usize,
    /// Where TLS ends here, rather than at a proxy.
    pub tls: Option<Tls>,
}

/// `[server.tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and those that lead to its root, in PEM.
    pub certificate_file: PathBuf,
    /// Its private key, in PEM.
    pub key_file: PathBuf,
}

/// Which pages may connect. A client that is no page sends no `Origin` and is let in: its token decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    listed: Vec<String>,
    /// The origin of `public_url`: then this, not the `Host` header, is what "same origin" means.
    own: Option<String>,
}

impl Origins {
    /// Whether a request with these headers may become a connection.
    pub fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        if self.any || self.listed.iter().any(|listed| listed == origin) {
            return true;
        }
        match &self.own {
            Some(own) => own == origin,
            None => origin.split_once("://").is_some_and(|(scheme, authority)| {
                matches!(scheme, "http" | "https") && host.is_some_and(|host| authority.eq_ignore_ascii_case(host))
            }),
        }
    }
}

pub(super) fn read(mut section: Section<'_>, hostname: Option<&str>, folder: &Path) -> Server {
    let seconds = Duration::from_secs;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let public_url = section.read("public_url", |value| {
        let url = super::section::text(value)?;
        origin_of(url).map(|_| url.trim_end_matches('/').to_owned())
    });
    let mut any = false;
    let listed = section.list("allowed_origins", |origin| {
        if origin == "*" {
            any = true;
            return Ok(None);
        }
        exact_origin(origin).map(Some)
    });
    let origins = Origins {
        any,
        listed: listed.unwrap_or_default().into_iter().flatten().collect(),
        own: public_url.as_deref().and_then(|url| origin_of(url).ok()),
    };
    if any {
        section.warning("allowed_origins", "\"*\" lets every page of the web connect; only tokens decide");
    }
    let node = section.read("node", |value| {
        let node = super::section::text(value)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let good = (1..=64).contains(&node.len()) && node.chars().all(legal);
        if good { Ok(node.to_owned()) } else { Err("must be 1 to 64 letters, digits, '.', '_' or '-'".into()) }
    });
    let server = Server {
        listen: section.read("listen", |value| listen(super::section::text(value)?)).unwrap_or(DEFAULT_LISTEN),
        node: node.as_deref().or(hostname).unwrap_or("tidegate").into(),
        allowed_origins: origins,
        public_url,
        handshake_timeout: section.duration("handshake_timeout", seconds(1)..=seconds(120)).unwrap_or(seconds(10)),
        heartbeat_interval: section.duration("heartbeat_interval", seconds(1)..=seconds(300)).unwrap_or(seconds(25)),
        heartbeat_timeout: section.duration("heartbeat_timeout", seconds(1)..=seconds(120)).unwrap_or(seconds(8)),
        drain_timeout: section.duration("drain_timeout", seconds(0)..=seconds(3600)).unwrap_or(seconds(20)),
        shards: section.count("shards", 1..=256).map_or(cores, |shards| shards as usize),
        max_connections: section.count("max_connections", 1..=10_000_000).unwrap_or(100_000) as usize,
        tls: read_tls(&mut section, folder),
    };
    section.finish();
    server
}

fn read_tls(section: &mut Section<'_>, folder: &Path) -> Option<Tls> {
    if !section.has("tls") {
        return None;
    }
    let mut section = section.section_or_empty("tls");
    let wanted = [
        ("certificate_file", "must name the file with the certificate and its chain, in PEM"),
        ("key_file", "must name the file with the certificate's private key, in PEM"),
    ];
    let [certificate_file, key_file] = wanted.map(|(key, what)| {
        if !section.has(key) {
            section.problem(key, what);
        }
        section.text(key).map(|path| resolve(Path::new(&path), folder, section.place_of(key)))
    });
    section.finish();
    Some(Tls { certificate_file: certificate_file?, key_file: key_file? })
}

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no address and port such as 127.0.0.1:8080 or [::]:8080"))
}

/// An origin exactly as a browser writes it: scheme, host in small letters, port unless it is the scheme's own.
fn exact_origin(text: &str) -> Result<String, String> {
    let origin = origin_of(text)?;
    if origin == text {
        return Ok(origin);
    }
    Err(format!("{text:?} is not an origin as browsers write it; did you mean {origin:?}?"))
}

/// The origin of an http or https URL.
fn origin_of(url: &str) -> Result<String, String> {
    let bad = || format!("{url:?} must be such as https://app.example");
    let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
    let scheme = scheme.to_ascii_lowercase();
    let own_port = match &*scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return Err(bad()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let authority = authority.strip_suffix(own_port).unwrap_or(&authority);
    let legal = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
    if authority.is_empty() || !authority.chars().all(legal) {
        return Err(bad());
    }
    Ok(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(listed: &[&str], own: Option<&str>) -> Origins {
        let listed = listed.iter().map(|origin| (*origin).to_owned()).collect();
        Origins { any: false, listed, own: own.map(str::to_owned) }
    }

    #[test]
    fn same_origin_and_programs_only_by_default() {
        let none = origins(&[], None);
        assert!(none.allow(None, Some("bridge.example")));
        assert!(none.allow(Some("https://bridge.example"), Some("bridge.example")));
        assert!(none.allow(Some("http://127.0.0.1:8080"), Some("127.0.0.1:8080")));
        for origin in ["https://evil.example", "null", "", "bridge.example", "https://bridge.example:444"] {
            assert!(!none.allow(Some(origin), Some("bridge.example")), "{origin}");
        }
        assert!(!none.allow(Some("https://bridge.example"), None));
    }

    #[test]
    fn listed_origins_are_compared_exactly() {
        let one = origins(&["https://app.example"], None);
        assert!(one.allow(Some("https://app.example"), Some("bridge.example")));
        for origin in ["http://app.example", "https://app.example.evil.example", "https://APP.example", "null"] {
            assert!(!one.allow(Some(origin), Some("bridge.example")), "{origin}");
        }
    }

    #[test]
    fn a_public_url_takes_the_place_of_the_host_header() {
        let own = origins(&[], Some("https://bridge.example"));
        assert!(own.allow(Some("https://bridge.example"), Some("10.0.0.7:8080")));
        assert!(!own.allow(Some("http://evil.example"), Some("evil.example")));
    }

    #[test]
    fn origins_as_browsers_write_them() {
        assert_eq!(exact_origin("https://app.example:8443").as_deref(), Ok("https://app.example:8443"));
        for (text, meant) in [
            ("https://app.example/", "https://app.example"),
            ("https://App.example", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
        ] {
            assert!(exact_origin(text).unwrap_err().contains(&format!("{meant:?}")), "{text}");
        }
        for bad in ["app.example", "https://", "https://*.example", "ftp://x", "null"] {
            assert!(exact_origin(bad).is_err(), "{bad}");
        }
    }
}
