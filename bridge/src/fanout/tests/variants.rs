//! Rules to go to and fro between, and what each of them lets somebody see, said in another way.

use std::rc::Rc;
use std::sync::Arc;

use tidegate_gate::Grant;

use super::fixture::{self, TOPICS, grants, topics};
use super::model::{Body, Event, User};
use crate::fanout::Rules;

/// How many there are; the first are those that nodes begin with.
pub const COUNT: usize = 6;

/// Those under which everybody may subscribe to what they want.
pub const OPEN: [usize; 5] = [0, 1, 2, 4, 5];

thread_local! {
    static ALL: Rc<[Rules]> = (0..COUNT).map(make).collect();
}

/// The rules of a variant.
pub fn rules(variant: usize) -> Rules {
    ALL.with(|all| all[variant].clone())
}

/// What of the usual grants is said otherwise: of each role another condition, or none.
fn otherwise(variant: usize) -> &'static [(&'static str, Option<&'static str>)] {
    match variant {
        // Other headers than before, each time.
        1 => &[("reader", Some("headers.lane == 'a'"))],
        2 => &[("clerk", Some("event.data.user == claims.sub || headers.zone == 'z'"))],
        // No header, and fewer conditions.
        4 => &[("desk", None), ("mixed", None), ("auditor", Some("event.data.amount > 2"))],
        _ => &[],
    }
}

fn make(variant: usize) -> Rules {
    let change = |grant: Grant| {
        let condition =
            otherwise(variant).iter().find(|(role, _)| *role == &*grant.role).map(|(_, condition)| *condition);
        let condition = condition.map(|condition| condition.map(|text| Arc::new(text.parse().unwrap())));
        let mut grant = Grant { condition: condition.unwrap_or(grant.condition.clone()), ..grant };
        if variant == 3 && &*grant.role == "reader" {
            grant.topics = vec!["news".parse().unwrap(), "audit".parse().unwrap()];
        }
        grant
    };
    // Records name their tenant in their key and in a header: where it is looked for is another way to read them.
    let from = if variant == 5 { "tenant.header = 'owner'" } else { "tenant.from = 'key'" };
    let configuration = TOPICS.replace("tenant.header = \"owner\"", from);
    fixture::lying(&configuration, topics(), grants().into_iter().map(change))
}

/// Whether they let somebody of the event's tenant see it.
pub fn grant(variant: usize, role: &str, subject: &str, event: &Event) -> bool {
    let Body { user, region, amount, key } = event.body;
    let data = !matches!(user, User::Twice(_));
    let theirs = data && matches!(user, User::Is(user) | User::Escaped(user) if user == subject);
    match (role, variant) {
        ("reader", 1) => event.lane() == "a",
        ("reader", 3) => event.topic != "orders",
        ("reader", _) | ("desk" | "mixed", 4) => true,
        ("clerk", 2) => theirs || event.zone().is_some(),
        ("clerk", _) => theirs,
        ("desk", _) => data && matches!(region, Some("eu" | "us")) && amount > 5,
        ("mixed", _) => theirs || (key == "k1" && event.kind != "order.paid"),
        ("auditor", 4) => data && amount > 2,
        ("auditor", _) => data && amount > 5,
        (other, _) => panic!("what does {other} see?"),
    }
}
