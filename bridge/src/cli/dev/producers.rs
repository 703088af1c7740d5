//! The demo's producers: a shop's orders and invoices, for each tenant.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidegate_log::{Log, NewRecord};
use tidegate_protocol::{ids, timestamp};

use crate::clock::Clock;

/// Begins to produce, until the process ends.
pub(super) fn start(log: &Arc<dyn Log>, tenants: [&'static str; 2]) {
    for tenant in tenants {
        tokio::spawn(produce(Arc::clone(log), tenant));
    }
}

async fn produce(log: Arc<dyn Log>, tenant: &'static str) {
    let mut number = 1000u64;
    loop {
        let moment = Clock.moment();
        // One tenant is busier than the other, and both have their tides.
        let pace = if tenant == "acme" { 350.0 } else { 700.0 };
        let tide = 1.0 + 0.6 * ((moment.now as f64) / 20_000.0).sin();
        tokio::time::sleep(Duration::from_secs_f64(pace * tide * (0.2 + 1.6 * moment.random) / 1000.0)).await;
        number += 1;
        let order = 1000 + number % 500;
        let total = (500.0 + moment.random * 20_000.0).round() / 100.0;
        let (topic, event_type, data) = match number % 5 {
            0 | 1 => ("orders".to_owned(), "order.created", json!({"id": order, "customer": "Grace", "total": total})),
            2 | 3 => ("orders".to_owned(), "order.paid", json!({"id": order, "total": total, "method": "card"})),
            _ => (
                format!("{tenant}.invoices"),
                "invoice.ready",
                json!({"id": number, "order": order, "pages": 1 + order % 4}),
            ),
        };
        let id = ids::uuid_v7(moment.now.cast_unsigned(), moment.entropy);
        let event = json!({
            "version": "1.0", "id": id, "type": event_type, "correlation_id": id,
            "timestamp": timestamp::format(moment.now), "tenant_id": tenant, "data": data,
        });
        let key = if topic == "orders" { format!("{tenant}/order/{order}") } else { format!("order/{order}") };
        let record = NewRecord {
            topic,
            key: Some(key.into_bytes()),
            value: Some(event.to_string().into_bytes()),
            headers: Vec::new(),
        };
        log.append(
            record,
            Box::new(|outcome| {
                if let Err(error) = outcome {
                    tracing::warn!(%error, "a demo producer could not append");
                }
            }),
        );
    }
}
