#![no_main]
//! Records of any log, in each format and with each source of the tenant: nothing panics, and what is taken is a
//! valid event of one tenant, which no other place of the record contradicts.
//!
//! An input is the record's parts with byte 0x1E between them: the value, then the key, then headers as `name=value`.

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use tidegate::feed::{Decoded, Format, JsonFormat, Round, TenantSource, TopicSpec, TypeSource, decode};
use tidegate_fuzz::is_json;
use tidegate_log::{Headers, Record, TopicKey};
use tidegate_protocol::envelope::Head;
use tidegate_protocol::frame::Entry;
use tidegate_protocol::ids;
use tidegate_protocol::json::Raw;

const MAX_EVENT: usize = 2048;

#[derive(Debug)]
struct List<'a>(Vec<(&'a str, Option<&'a [u8]>)>);

impl Headers for List<'_> {
    fn visit<'h>(&'h self, each: &mut dyn FnMut(&'h str, Option<&'h [u8]>) -> bool) {
        let _ = self.0.iter().all(|(name, value)| each(name, *value));
    }
}

impl List<'_> {
    fn named(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(known, _)| *known == name).filter_map(|(_, value)| *value)
    }
}

thread_local! {
    static SPECS: LazyCell<Vec<TopicSpec>> = const { LazyCell::new(specs) };
}

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == 0x1E);
    let value = parts.next();
    let key = parts.next();
    let headers = List(parts.filter_map(header).collect());
    let record = Record { partition: 3, offset: 7, timestamp: Some(1_000), key, value, headers: &headers };
    SPECS.with(|specs| specs.iter().for_each(|spec| read(spec, &record, &headers)));
});

fn read(spec: &TopicSpec, record: &Record<'_>, headers: &List<'_>) {
    let mut round = Round::default();
    match decode(spec, TopicKey(1), record, &mut round) {
        Decoded::Event => check(spec, record, headers, &round),
        Decoded::Tombstone => panic!("a value that is there is no tombstone"),
        Decoded::Quarantined(_) => assert!(round.is_empty(), "what is quarantined leaves nothing behind"),
    }
}

fn header(part: &[u8]) -> Option<(&str, Option<&[u8]>)> {
    let at = part.iter().position(|byte| *byte == b'=');
    let (name, value) = at.map_or((part, None), |at| (&part[..at], Some(&part[at + 1..])));
    Some((std::str::from_utf8(name).ok()?, value))
}

/// Every format with every source of the tenant.
fn specs() -> Vec<TopicSpec> {
    let at = |pointer: &str| Some(pointer.parse().expect("a pointer"));
    let json = JsonFormat {
        event_type: TypeSource::Pointer("/type".parse().expect("a pointer")),
        id: at("/id"),
        correlation_id: at("/data/correlation"),
        time: at("/timestamp"),
        key: at("/data/key"),
        tenant: at("/tenant_id"),
    };
    let constant = JsonFormat {
        event_type: TypeSource::Constant("order.created".into()),
        id: None,
        correlation_id: None,
        time: None,
        key: None,
        tenant: None,
    };
    let formats = [Format::Envelope, Format::CloudEvents, Format::Json(json), Format::Json(constant)];
    let sources = [
        TenantSource::Name,
        TenantSource::Header("tenant".into()),
        TenantSource::Key,
        TenantSource::Envelope,
        TenantSource::Nobody,
    ];
    let spec = |format: &Format, tenant: &TenantSource| TopicSpec {
        logical: "orders".into(),
        physical: "acme.orders".into(),
        named_tenant: (*tenant == TenantSource::Name).then(|| "acme".into()),
        tenant: tenant.clone(),
        tenant_key: matches!(tenant, TenantSource::Envelope | TenantSource::Key),
        format: format.clone(),
        reads: None,
        max_event: MAX_EVENT,
    };
    formats.iter().flat_map(|format| sources.iter().map(move |tenant| spec(format, tenant))).collect()
}

fn check(spec: &TopicSpec, record: &Record<'_>, headers: &List<'_>, round: &Round) {
    let [entry] = round.entries[..] else { panic!("one record is one event") };
    let wire = std::str::from_utf8(round.wire(&entry)).expect("text");
    let frame = format!(r#"{{"batch":{{"view":1,"seq":1,"entries":[{wire}],"cursor":""}}}}"#);
    assert!(is_json(&frame), "a frame that is no JSON: {frame}");
    let raw = Raw::parse(wire).expect("an entry is JSON");
    let event = Entry::read(&raw).expect("an entry has an event").event;
    // But for the space that may stand around what is relayed as it was read.
    assert_eq!(event, round.event(&entry).trim_matches([' ', '\t', '\n', '\r']), "conditions read what is delivered");
    let head = Head::read(event).expect("an event");
    head.check(i64::MAX, 0).expect("a valid one");
    for name in ["id", "type", "correlation_id", "timestamp"] {
        assert!(head.text(name).expect("text").is_some(), "without {name}: {event}");
    }
    let tenant = round.tenant(&entry);
    if spec.tenant == TenantSource::Nobody {
        assert_eq!(tenant, "");
        return;
    }
    assert!(ids::is_tenant(tenant), "{tenant:?} is no tenant");
    assert_eq!(head.text("tenant_id").expect("text").as_deref(), Some(tenant));
    // Whatever else of the record names a tenant says the same.
    if spec.tenant == TenantSource::Name {
        assert_eq!(tenant, "acme");
    }
    assert!(headers.named("tg_tenant").all(|named| named == tenant.as_bytes()), "tg_tenant says otherwise");
    if let TenantSource::Header(name) = &spec.tenant {
        assert!(headers.named(name).all(|named| named == tenant.as_bytes()), "its header says otherwise");
    }
    // A null key names nobody.
    if let Some(key) = record.key.filter(|_| spec.tenant_key) {
        assert!(key.starts_with(format!("{tenant}/").as_bytes()), "the key says otherwise: {key:?}");
    }
}
