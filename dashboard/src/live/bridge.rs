//! The bridge as a source of news, through the same client and wire as every page.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use tidegate_client::browser::Connection;
use tidegate_client::machine::{Effect, Handle, Problem, State};
use tidegate_protocol::frame::Welcome;
use tidegate_protocol::ledger::Column;

use super::feed::{Feed, Identity, News, Refusal};
use crate::browser;

/// An open connection with the ledger subscribed. Dropping it closes it.
struct Bridge {
    connection: Connection,
    /// The subscription that is wanted now: what still comes of an earlier one is passed over.
    wanted: Rc<Cell<Option<Handle>>>,
}

/// Connects and subscribes the ledger.
pub(crate) fn open(token: &str, group_by: &[Column], hear: Rc<dyn Fn(News)>) -> Result<Box<dyn Feed>, Refusal> {
    let url = browser::socket_url().ok_or_else(|| Refusal::Other {
        code: "no_address".to_owned(),
        message: "The page's own address does not tell where the bridge is.".to_owned(),
    })?;
    let wanted = Rc::new(Cell::new(None));
    let current = Rc::clone(&wanted);
    let connection = Connection::observe(&url, token.to_owned(), move |_, effect| {
        if let Some(news) = news(effect, current.get()) {
            hear(news);
        }
    });
    let bridge = Bridge { connection, wanted };
    bridge.subscribe(group_by)?;
    Ok(Box::new(bridge))
}

impl Bridge {
    fn subscribe(&self, group_by: &[Column]) -> Result<(), Refusal> {
        let handle = self.connection.ledger(group_by.to_vec()).map_err(|problem| refusal(&problem))?;
        self.wanted.set(Some(handle));
        Ok(())
    }
}

impl Feed for Bridge {
    fn group_by(&self, columns: &[Column]) {
        if let Some(handle) = self.wanted.take() {
            self.connection.unsubscribe(handle);
        }
        // Refused only once the connection is over, and that has been told already.
        let _ = self.subscribe(columns);
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.connection.close();
    }
}

fn news(effect: Effect, wanted: Option<Handle>) -> Option<News> {
    match effect {
        Effect::State(State::Open(welcome)) => {
            let Welcome { tenant, subject, node, .. } = Arc::unwrap_or_clone(welcome);
            Some(News::Open(Identity { tenant, subject, node }))
        }
        Effect::State(State::Waiting { .. }) => Some(News::Lost),
        Effect::State(State::Closed(Some(problem))) => Some(News::Refused(refusal(&problem))),
        Effect::Ended { handle, problem } if Some(handle) == wanted => Some(News::Refused(refusal(&problem))),
        Effect::Ledger { handles, report } if wanted.is_some_and(|wanted| handles.contains(&wanted)) => {
            Some(News::Report(Box::new(report)))
        }
        Effect::LogState { available } => Some(News::Log { available }),
        _ => None,
    }
}

fn refusal(problem: &Problem) -> Refusal {
    Refusal::from_code(&problem.code, &problem.message)
}
