//! The members that the envelope defines, by number: found once while the text is read, never searched for again.

use alloc::collections::BTreeSet;

use crate::json::Member;

/// A member that the envelope defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Version,
    Id,
    Type,
    CorrelationId,
    CausationId,
    Timestamp,
    TenantId,
    Requester,
    Responder,
    Traceparent,
    Tracestate,
    Action,
    Response,
}

impl Field {
    pub(super) const ALL: [Self; 13] = [
        Self::Version,
        Self::Id,
        Self::Type,
        Self::CorrelationId,
        Self::CausationId,
        Self::Timestamp,
        Self::TenantId,
        Self::Requester,
        Self::Responder,
        Self::Traceparent,
        Self::Tracestate,
        Self::Action,
        Self::Response,
    ];

    /// The field of this name.
    #[inline]
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "version" => Self::Version,
            "id" => Self::Id,
            "type" => Self::Type,
            "correlation_id" => Self::CorrelationId,
            "causation_id" => Self::CausationId,
            "timestamp" => Self::Timestamp,
            "tenant_id" => Self::TenantId,
            "requester" => Self::Requester,
            "responder" => Self::Responder,
            "traceparent" => Self::Traceparent,
            "tracestate" => Self::Tracestate,
            "action" => Self::Action,
            "response" => Self::Response,
            _ => return None,
        })
    }
}

/// Where the fields lie among an event's members, and the other members' places.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Place among the members, from 1; 0 where there is none.
    of: [u32; Field::ALL.len()],
}

impl Places {
    /// Finds the fields. An event that repeats a member has none: the repeated name is said instead.
    pub(super) fn find<'m>(members: &'m [Member<'_>]) -> Result<Self, &'m str> {
        let mut of = [0; Field::ALL.len()];
        // An event has few members of its own making; only many are worth a set.
        let mut others = 0;
        let mut seen = BTreeSet::new();
        for (at, member) in members.iter().enumerate() {
            let name = &*member.name;
            let repeats = if let Some(field) = Field::of(name) {
                // Bytes of one event: far fewer members than there are numbers.
                core::mem::replace(&mut of[field as usize], at as u32 + 1) != 0
            } else if others < 32 {
                others += 1;
                members[..at].iter().any(|earlier| earlier.name == name)
            } else {
                if seen.is_empty() {
                    seen.extend(members[..at].iter().map(|earlier| &*earlier.name));
                }
                !seen.insert(name)
            };
            if repeats {
                return Err(name);
            }
        }
        Ok(Self { of })
    }

    /// A field's member, null or not.
    #[inline]
    pub(super) fn get<'m, 'a>(&self, members: &'m [Member<'a>], field: Field) -> Option<&'m Member<'a>> {
        members.get((self.of[field as usize] as usize).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_found_by_its_name_and_nothing_else_is_one() {
        let names = [
            "version",
            "id",
            "type",
            "correlation_id",
            "causation_id",
            "timestamp",
            "tenant_id",
            "requester",
            "responder",
            "traceparent",
            "tracestate",
            "action",
            "response",
        ];
        for (at, (field, name)) in Field::ALL.into_iter().zip(names).enumerate() {
            assert_eq!((Field::of(name), field as usize), (Some(field), at));
        }
        for other in ["", "Id", "data", "types", "responses", "requested", "traceparen_", "tenant-id", "t\0mestamp"] {
            assert_eq!(Field::of(other), None, "{other}");
        }
    }

    #[test]
    fn repeats_are_found_among_few_and_many() {
        let members = |names: &[String]| -> Vec<Member<'static>> {
            let member = |name: &String| Member { name: name.clone().into(), value: "1", at: 0, escaped: false };
            names.iter().map(member).collect()
        };
        let many = |count: usize| (0..count).map(|at| format!("m{at}")).collect::<Vec<_>>();
        for count in [1, 2, 31, 32, 33, 34, 100] {
            let mut names = many(count);
            assert!(Places::find(&members(&names)).is_ok());
            names.push(format!("m{}", count / 2));
            assert_eq!(Places::find(&members(&names)).err(), Some(&*format!("m{}", count / 2)), "{count}");
        }
        assert_eq!(Places::find(&members(&["id".to_owned(), "x".to_owned(), "id".to_owned()])).err(), Some("id"));
    }
}
