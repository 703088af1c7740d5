//! The demo's consumers: for each tenant a client through the bridge's own socket. Some of what they handle fails on
//! purpose.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_client::native::{Client, Delivery, Options, Subscribe, Token};
use tidegate_protocol::frame::FailureKind;

use crate::clock::Clock;
use crate::transport::DevToken;

/// Begins to consume, until the process ends.
pub(super) fn start(address: SocketAddr, tenants: [&'static str; 2], tokens: &DevToken) {
    for tenant in tenants {
        for topic in ["orders", "invoices"] {
            tokio::spawn(consume(address, tenant, topic, Arc::clone(tokens)));
        }
    }
}

async fn consume(address: SocketAddr, tenant: &'static str, topic: &'static str, tokens: DevToken) {
    let token = Token::source(move || {
        let token = tokens(tenant, &format!("{topic}-clerk"), &[]).unwrap_or_default();
        async move { Ok(token) }
    });
    let options = Options { patient: true, ..Options::new(token) };
    let client = match Client::connect(format!("ws://{address}/v1/ws"), options).await {
        Ok(client) => client,
        Err(error) => return tracing::warn!(%error, "a demo consumer could not connect"),
    };
    match client.subscribe(Subscribe::to(topic)).await {
        Ok(mut subscription) => {
            while let Some(delivery) = subscription.next().await {
                tokio::spawn(handle(delivery));
            }
        }
        Err(error) => tracing::warn!(%error, "a demo consumer could not subscribe"),
    }
}

/// Takes a moment over an event, and fails over some.
async fn handle(delivery: Delivery) {
    let luck = Clock.moment().random;
    tokio::time::sleep(Duration::from_secs_f64(0.05 + 1.5 * luck * luck)).await;
    let is_invoice = delivery.text("type").as_deref() == Some("invoice.ready");
    match luck {
        luck if is_invoice && luck < 0.15 => delivery.failed(FailureKind::Threw, "paper jam"),
        luck if luck < 0.04 => delivery.failed(FailureKind::Rejected, "clerk at lunch"),
        _ => delivery.consumed(),
    }
}
