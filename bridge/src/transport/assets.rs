//! Files that the bridge serves beside its sockets: the client's package, the dashboard, in `dev` the demo.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;

/// Only what we serve runs, and nothing frames it.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Files held in memory, by path (`dashboard/index.html`).
#[derive(Debug, Default)]
pub struct Assets {
    files: HashMap<String, File>,
}

#[derive(Debug)]
struct File {
    plain: Bytes,
    brotli: Option<Bytes>,
    etag: String,
    media_type: &'static str,
}

/// A folder of assets that can not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct AssetsError {
    path: PathBuf,
    error: std::io::Error,
}

impl Assets {
    /// Reads a folder and the folders within. `x.br` beside `x` is its compressed form.
    pub fn read(root: &Path) -> Result<Self, AssetsError> {
        let mut assets = Self::default();
        assets.read_folder(root, "")?;
        let plain = |name: &String| name.strip_suffix(".br").map(str::to_owned);
        let compressed: Vec<String> = assets.files.keys().filter_map(plain).collect();
        for name in compressed {
            if let Some(file) = assets.files.remove(&format!("{name}.br"))
                && let Some(plain) = assets.files.get_mut(&name)
            {
                plain.brotli = Some(file.plain);
            }
        }
        Ok(assets)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<(), AssetsError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |error| AssetsError { path, error }
        };
        for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
            let entry = entry.map_err(failed(folder))?;
            let path = entry.path();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if path.is_dir() {
                self.read_folder(&path, &format!("{name}/"))?;
            } else {
                let plain = Bytes::from(std::fs::read(&path).map_err(failed(&path))?);
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &plain);
                let etag = BASE64.encode(&digest.as_ref()[..9]);
                let media_type = media_type(&name);
                self.files.insert(name, File { plain, brotli: None, etag: format!("\"{etag}\""), media_type });
            }
        }
        Ok(())
    }

    /// The file at a path below `/`; a path that ends with `/` means its `index.html`.
    pub(super) fn answer(&self, path: &str, headers: &HeaderMap) -> Response {
        let path = path.trim_start_matches('/');
        let name = if path.is_empty() || path.ends_with('/') { format!("{path}index.html") } else { path.to_owned() };
        let Some(file) = self.files.get(&name) else {
            let is_folder = self.files.contains_key(&format!("{name}/index.html"));
            return if is_folder { redirect(&format!("/{name}/")) } else { status(StatusCode::NOT_FOUND) };
        };
        let says = |header, word: &str| {
            headers.get(header).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(word))
        };
        if says(IF_NONE_MATCH, &file.etag) {
            return status(StatusCode::NOT_MODIFIED);
        }
        let compressed = file.brotli.as_ref().filter(|_| says(ACCEPT_ENCODING, "br"));
        let mut response = Response::builder()
            .header(CONTENT_TYPE, file.media_type)
            .header(ETAG, &file.etag)
            .header(CACHE_CONTROL, "no-cache")
            .header(VARY, "accept-encoding")
            .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(CONTENT_SECURITY_POLICY, POLICY);
        if compressed.is_some() {
            response = response.header(CONTENT_ENCODING, "br");
        }
        let body = compressed.unwrap_or(&file.plain).clone();
        response.body(Body::from(body)).unwrap_or_default()
    }
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

pub(super) fn redirect(to: &str) -> Response {
    let response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header("location", to);
    response.body(Body::empty()).unwrap_or_default()
}

fn media_type(name: &str) -> &'static str {
    match name.trim_end_matches(".br").rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("ts" | "txt" | "md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
