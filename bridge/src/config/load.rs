//! From a file and the environment to a validated configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{Place, Problem, Problems, Report};
use super::raw::{self, Table};
use super::section::Section;
use super::{
    Config, admin, cursors, environment, feed, grants, limits, log, revocation, server, tokens, topics, validate,
};

/// A configuration that is good, and what may still be said of it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What is allowed, but may not be meant.
    pub warnings: Vec<Problem>,
}

/// Where a configuration comes from, to be read more than once.
#[derive(Clone)]
pub struct Source {
    path: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Source {
    /// A file, if there is one, and the environment as it is now.
    pub fn new(path: Option<PathBuf>) -> Self {
        // Not `vars`, which panics over a variable that is no text, whosever it is.
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.to_string_lossy().into()));
        Self { path, environment: std::env::vars_os().filter_map(text).collect() }
    }

    /// Its name in messages.
    pub fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "environment".to_owned(), |path| path.display().to_string())
    }

    /// Reads it.
    pub fn load(&self) -> Result<Loaded, Problems> {
        load(self.path.as_deref(), self.environment.iter().cloned())
    }
}

impl std::fmt::Debug for Source {
    /// Shows no variables: their values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Source").field(&self.path).finish()
    }
}

/// Reads a configuration file, if there is one, and the environment (`std::env::vars()`).
pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, Problems> {
    let Some(path) = path else { return read("", "environment", Path::new(""), env) };
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => read(&text, &name, path.parent().unwrap_or(Path::new("")), env),
        Err(error) => Err(Problems(vec![whole(&name, format!("can not be read: {error}"))])),
    }
}

/// Reads a configuration text; `name` stands for it in messages. Paths in it are taken from the working folder.
pub fn parse(text: &str, name: &str, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, Problems> {
    read(text, name, Path::new(""), env)
}

fn read(
    text: &str,
    name: &str,
    folder: &Path,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Problems> {
    let (mut table, syntax) = raw::document(name, text);
    if !syntax.is_empty() {
        // What follows from half a document would only mislead.
        return Err(Problems(syntax));
    }
    let report = Report::default();
    environment::apply(&mut table, env, &report);
    let config = sections(&table, Place::File(name.into()), folder, &report);
    let warnings = report.finish()?;
    let incomplete = || Problems(vec![whole(name, "is not complete")]);
    config.map(|config| Loaded { config, warnings }).ok_or_else(incomplete)
}

/// A problem of a file as a whole.
fn whole(name: &str, text: impl Into<String>) -> Problem {
    Problem { place: Place::File(name.into()), key: String::new(), text: text.into() }
}

/// Reads every section, also after problems, so that all are told at once. `None` only where one was reported.
fn sections(table: &Table, place: Place, folder: &Path, report: &Report) -> Option<Config> {
    let mut root = Section::new("", place, table, report);
    let server = server::read(root.section_or_empty("server"), hostname().as_deref(), folder);
    let limits = limits::read(root.section_or_empty("limits"));
    let log = log::read(root.section_or_empty("log"), report, folder);
    let tokens = tokens::read(root.section_or_empty("tokens"), folder);
    let topics = topics::read(&root.section_or_empty("topics"));
    let grants = grants::read(root.node("grants"), report);
    let cursors = cursors::read(root.section_or_empty("cursors"), folder);
    let window = feed::read_window(root.section_or_empty("window"));
    let catch_up = feed::read_catch_up(root.section_or_empty("catch_up"));
    let revocation = revocation::read(root.section_or_empty("revocation"));
    let admin = root.section("admin").map(|section| admin::read(section, folder));
    if admin.iter().flatten().any(|admin| admin.listen == server.listen && server.listen.port() != 0) {
        root.problem("admin", format!("listens on {}, as the server does: it needs a port of its own", server.listen));
    }
    if topics.is_empty() && !root.has("topics") {
        root.warning("topics", "there is none: add [topics.NAME]");
    }
    if grants.is_empty() && !root.has("grants") {
        root.warning("grants", "there is none, so nobody may do anything: add [[grants]]");
    }
    root.finish();
    validate::topics_apart(&topics, report);
    validate::grants_fit(&grants, &topics, report);
    Some(Config {
        server: Arc::new(server),
        limits: Arc::new(limits),
        log: Arc::new(log?),
        tokens: Arc::new(tokens?),
        topics: Arc::new(topics::collect(topics)),
        grants: grants.into_iter().map(|(grant, ..)| grant).collect(),
        cursors: Arc::new(cursors),
        window,
        catch_up,
        revocation,
        admin: admin.flatten().map(Arc::new),
    })
}

/// A path from where it was written: the file's folder, or for a variable the working folder.
pub(super) fn resolve(path: &Path, folder: &Path, place: &Place) -> PathBuf {
    match place {
        Place::Variable(_) => path.to_owned(),
        Place::Line(..) | Place::File(_) => folder.join(path),
    }
}

fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok())?;
    let legal: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
    (!legal.is_empty()).then(|| legal.chars().take(64).collect())
}
