//! Whose a record is: one place says it, and every other place that names a tenant must agree.

use tidegate_log::Record;
use tidegate_protocol::{headers, ids};

use super::{Reason, TenantSource, TopicSpec};

/// The record's tenant, and its key as readers see it (without the tenant, where keys are `tenant/key`).
pub(super) fn settle<'a>(
    spec: &'a TopicSpec,
    record: &Record<'a>,
    body: Option<&'a str>,
) -> Result<(&'a str, Option<&'a [u8]>), Reason> {
    if spec.tenant == TenantSource::Nobody {
        let named = body.is_none_or(ids::is_tenant);
        return if named { Ok(("", record.key)) } else { Err(Reason::TenantMissing("the event")) };
    }
    let (key_tenant, key) = split_key(spec, record.key)?;
    let (from_header, ours) = headers_of(spec, record)?;
    let tenant = match &spec.tenant {
        TenantSource::Name => spec.named_tenant.as_deref(),
        TenantSource::Header(_) => from_header.tenant,
        TenantSource::Key => key_tenant,
        TenantSource::Envelope => body,
        TenantSource::Nobody => None,
    };
    let tenant = tenant.ok_or(Reason::TenantMissing(place(&spec.tenant)))?;
    if !ids::is_tenant(tenant) {
        return Err(Reason::TenantMissing(place(&spec.tenant)));
    }
    for (other, what) in
        [(spec.named_tenant.as_deref(), "the topic's name"), (key_tenant, "the key"), (body, "the event")]
    {
        if other.is_some_and(|other| other != tenant) {
            return Err(Reason::TenantMismatch(what));
        }
    }
    // A header that is there but no text names no tenant, which is not this one.
    if ours.present && ours.tenant != Some(tenant) {
        return Err(Reason::TenantMismatch(headers::TENANT));
    }
    Ok((tenant, key))
}

fn place(source: &TenantSource) -> &'static str {
    match source {
        TenantSource::Name => "the topic's name",
        TenantSource::Header(_) => "the header",
        TenantSource::Key => "the key",
        TenantSource::Envelope => "the event",
        TenantSource::Nobody => "nothing",
    }
}

type SplitKey<'a> = (Option<&'a str>, Option<&'a [u8]>);

/// The tenant that the key names, if this topic's keys name one, and the rest of the key.
fn split_key<'a>(spec: &TopicSpec, key: Option<&'a [u8]>) -> Result<SplitKey<'a>, Reason> {
    // A null key names no tenant, so it disagrees with none.
    let Some(bytes) = key else { return Ok((None, None)) };
    if spec.tenant_key {
        let slash = bytes.iter().position(|&b| b == b'/');
        let tenant = slash.and_then(|at| std::str::from_utf8(&bytes[..at]).ok());
        return match (slash, tenant) {
            (Some(at), Some(tenant)) => Ok((Some(tenant), Some(&bytes[at + 1..]))),
            _ if spec.tenant == TenantSource::Key => Err(Reason::TenantMissing(place(&spec.tenant))),
            // It does not have this tenant before it, and may be another's key.
            _ => Err(Reason::TenantMismatch("the key")),
        };
    }
    let tenant = (spec.tenant == TenantSource::Key).then(|| std::str::from_utf8(bytes).ok()).flatten();
    Ok((tenant, key))
}

/// A header that may name a tenant.
#[derive(Default, Clone, Copy)]
struct Named<'a> {
    present: bool,
    /// Its value, if that is text.
    tenant: Option<&'a str>,
}

/// The configured header and `tg_tenant`.
fn headers_of<'a>(spec: &TopicSpec, record: &Record<'a>) -> Result<(Named<'a>, Named<'a>), Reason> {
    let wanted = match &spec.tenant {
        TenantSource::Header(name) => Some(name.as_str()),
        _ => None,
    };
    let (mut from_header, mut ours) = (Named::default(), Named::default());
    let mut repeated = false;
    record.headers.visit(&mut |name, value| {
        let tenant = value.and_then(|value| std::str::from_utf8(value).ok());
        for (found, asked) in [(&mut from_header, wanted), (&mut ours, Some(headers::TENANT))] {
            if asked == Some(name) {
                repeated |= found.present;
                *found = Named { present: true, tenant };
            }
        }
        !repeated
    });
    if repeated {
        return Err(Reason::TenantMismatch("a header that names the tenant is repeated"));
    }
    Ok((from_header, ours))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Given, ID, given, topic};
    use super::super::{Format, TenantSource, TopicSpec};

    fn event(tenant: Option<&str>) -> Given {
        let tenant = tenant.map_or(String::new(), |tenant| format!(r#","tenant_id":{tenant}"#));
        given(format!(r#"{{"id":"{ID}","type":"order.created"{tenant}}}"#))
    }

    fn from(tenant: TenantSource) -> TopicSpec {
        TopicSpec { tenant, ..topic(Format::Envelope) }
    }

    fn header() -> TopicSpec {
        from(TenantSource::Header("tenant".into()))
    }

    fn tenant(record: &Given, spec: &TopicSpec) -> String {
        let (tenant, _, wire) = record.entry(spec).unwrap();
        let wire: serde_json::Value = serde_json::from_str(&wire).unwrap();
        assert_eq!(wire["event"]["tenant_id"], *tenant);
        tenant
    }

    #[test]
    fn each_source_alone_settles_it() {
        let named = TopicSpec { named_tenant: Some("acme".into()), ..from(TenantSource::Name) };
        let prefix = TopicSpec { tenant_key: true, ..from(TenantSource::Key) };
        for (record, spec) in [
            (event(None), named),
            (event(None).header("tenant", "acme"), header()),
            (event(None).key("acme"), from(TenantSource::Key)),
            (event(None).key("acme/order/42"), prefix),
            (event(Some(r#""\u0061cme""#)), from(TenantSource::Envelope)),
        ] {
            assert_eq!(tenant(&record, &spec), "acme", "{:?}", spec.tenant);
        }
    }

    #[test]
    fn all_places_together_agree() {
        let spec = TopicSpec { named_tenant: Some("acme".into()), tenant_key: true, ..header() };
        let record = event(Some(r#""acme""#)).acme().key("acme/1").header("tg_tenant", "acme");
        assert_eq!(tenant(&record, &spec), "acme");
    }

    #[test]
    fn any_other_place_that_disagrees_quarantines() {
        let named = TopicSpec { named_tenant: Some("globex".into()), ..header() };
        let keyed = TopicSpec { tenant_key: true, ..header() };
        for (what, record, spec) in [
            ("name", event(None).acme(), &named),
            ("key", event(None).acme().key("globex/1"), &keyed),
            ("key without a tenant", event(None).acme().key("order"), &keyed),
            ("key of another's", event(None).acme().key("order/42"), &keyed),
            ("key that is no text", event(None).acme().key(b"\xFF/42"), &keyed),
            ("event", event(Some(r#""globex""#)).acme(), &header()),
            ("event, by case", event(Some(r#""Acme""#)).acme(), &header()),
            ("forged tg_tenant", event(None).acme().header("tg_tenant", "globex"), &header()),
            ("tg_tenant that is no text", event(None).acme().header("tg_tenant", [0xFF]), &header()),
            ("null tg_tenant", event(None).acme().null_header("tg_tenant"), &header()),
            (
                "repeated tg_tenant",
                event(None).acme().header("tg_tenant", "acme").header("tg_tenant", "acme"),
                &header(),
            ),
            ("repeated source", event(None).acme().acme(), &header()),
            ("repeated source, null first", event(None).null_header("tenant").acme(), &header()),
        ] {
            assert_eq!(record.refused(spec), "tenant_mismatch", "{what}");
        }
    }

    #[test]
    fn a_source_that_names_none_quarantines() {
        let prefix = TopicSpec { tenant_key: true, ..from(TenantSource::Key) };
        let long = "a".repeat(65);
        for (what, record, spec) in [
            ("no name", event(None), &from(TenantSource::Name)),
            ("no header", event(Some(r#""acme""#)), &header()),
            ("header named otherwise", event(None).header("Tenant", "acme"), &header()),
            ("null header", event(None).null_header("tenant"), &header()),
            ("empty header", event(None).header("tenant", ""), &header()),
            ("header with space", event(None).header("tenant", "acme "), &header()),
            ("long header", event(None).header("tenant", long), &header()),
            ("header in bytes", event(None).header("tenant", [0xC3]), &header()),
            ("null key", event(None), &from(TenantSource::Key)),
            ("empty key", event(None).key(""), &from(TenantSource::Key)),
            ("key in bytes", event(None).key([0xFF]), &from(TenantSource::Key)),
            ("null key for tenant/key", event(None), &prefix),
            ("key without slash", event(None).key("acme"), &prefix),
            ("key without tenant", event(None).key("/1"), &prefix),
            ("no member", event(None), &from(TenantSource::Envelope)),
            ("null member", event(Some("null")), &from(TenantSource::Envelope)),
            ("forged tg_tenant only", event(None).header("tg_tenant", "acme"), &from(TenantSource::Envelope)),
        ] {
            assert_eq!(record.refused(spec), "tenant_missing", "{what}");
        }
    }

    #[test]
    fn a_public_topic_s_events_are_nobodys() {
        let spec = from(TenantSource::Nobody);
        for (record, shown) in
            [(event(None), None), (event(Some(r#""acme""#)).header("tg_tenant", "globex"), Some("acme"))]
        {
            let (tenant, _, wire) = record.entry(&spec).unwrap();
            let wire: serde_json::Value = serde_json::from_str(&wire).unwrap();
            assert_eq!((&*tenant, wire["event"]["tenant_id"].as_str()), ("", shown));
        }
    }

    #[test]
    fn tg_tenant_counts_where_it_is_the_source() {
        let spec = from(TenantSource::Header("tg_tenant".into()));
        assert_eq!(tenant(&event(None).header("tg_tenant", "acme"), &spec), "acme");
    }

    #[test]
    fn a_member_named_twice_is_no_choice() {
        let record = event(Some(r#""acme","tenant\u005fid":"globex""#));
        assert_eq!(record.refused(&from(TenantSource::Envelope)), "invalid");
    }

    #[test]
    fn readers_see_keys_without_the_tenant() {
        let spec = TopicSpec { tenant_key: true, ..header() };
        for (key, seen) in [("acme/order/42", "order/42"), ("acme/", "")] {
            assert_eq!(event(None).acme().key(key).wire(&spec).unwrap()["key"], seen);
        }
        // A null key is nobody's: it can not stand in another's way.
        assert_eq!(event(None).acme().wire(&spec).unwrap().get("key"), None);
    }
}
