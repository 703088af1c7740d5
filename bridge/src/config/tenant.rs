//! `topics.NAME.tenant`: the one place that says whose an event is.

use std::sync::Arc;

use tidegate_gate::PhysicalName;

use super::section::{self, Section};
use super::topics::Format;
use crate::json_pointer::JsonPointer;

/// The one source of an event's tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantFrom {
    /// `{tenant}` in the topic's physical name.
    Name,
    /// A header of this name.
    Header(Arc<str>),
    /// The key: with [`KeyForm::TenantKey`](super::KeyForm::TenantKey) what stands before its first `/`, else all of it.
    Key,
    /// The envelope's `tenant_id`; with `CloudEvents` its extension `tenantid`.
    Envelope,
    /// A place in a JSON record.
    Member(JsonPointer),
}

/// Reads it. `None` for a public topic, and where a problem was reported.
pub(super) fn read(
    section: &mut Section<'_>,
    physical: Option<&PhysicalName>,
    public: bool,
    format: Option<&Format>,
) -> Option<TenantFrom> {
    let per_tenant = physical.is_some_and(PhysicalName::per_tenant);
    let given = section.has("tenant");
    let mut tenant = section.section_or_empty("tenant");
    let names = [
        ("name", FromName::Name),
        ("header", FromName::Header),
        ("key", FromName::Key),
        ("envelope", FromName::Envelope),
    ];
    let stated = tenant.choice("from", &names);
    let (has_from, has_header, has_pointer) = (tenant.has("from"), tenant.has("header"), tenant.has("pointer"));
    let header = tenant.read("header", |value| match section::text(value)? {
        "" => Err("must name a header".to_owned()),
        name => Ok(Arc::<str>::from(name)),
    });
    let pointer = tenant.parsed::<JsonPointer>("pointer");
    if public {
        if given || per_tenant {
            section.problem(
                "public",
                "a public topic belongs to no tenant: it has neither tenant.from nor {tenant} in its name",
            );
        }
        tenant.finish();
        return None;
    }
    let from = match stated {
        Some(from) => from,
        None if has_from => {
            tenant.finish();
            return None;
        }
        None if has_header => FromName::Header,
        None if per_tenant => FromName::Name,
        None => {
            let problem = "must say whose the events are: \"name\", \"header\", \"key\" or \"envelope\"";
            if physical.is_some() {
                tenant.problem("from", problem);
            }
            tenant.finish();
            return None;
        }
    };
    if has_header && !matches!(from, FromName::Header) {
        tenant.problem("header", "is of use with from = \"header\" only: a topic has one source of the tenant");
    }
    let json = matches!(format, Some(Format::Json(_)));
    if has_pointer && !(json && matches!(from, FromName::Envelope)) {
        tenant.problem("pointer", "is of use with format = \"json\" and from = \"envelope\" only");
    }
    let source = match from {
        FromName::Name => {
            if !per_tenant && physical.is_some() {
                tenant.problem("from", "\"name\" needs {tenant} in physical, such as \"{tenant}.orders\"");
            }
            Some(TenantFrom::Name)
        }
        FromName::Header => {
            if !has_header {
                tenant.problem("header", "must name the header that holds the tenant");
            }
            header.map(TenantFrom::Header)
        }
        FromName::Key => Some(TenantFrom::Key),
        FromName::Envelope if json => {
            if !has_pointer {
                tenant.problem("pointer", "must say where in the JSON the tenant stands, such as \"/tenant_id\"");
            }
            pointer.map(TenantFrom::Member)
        }
        FromName::Envelope => Some(TenantFrom::Envelope),
    };
    tenant.finish();
    source
}

#[derive(Clone, Copy)]
enum FromName {
    Name,
    Header,
    Key,
    Envelope,
}
