//! Whatever a log may carry: nothing panics, and what is accepted is an event of one tenant.

use proptest::prelude::*;
use tidegate_protocol::ids;

use super::fixture::{Given, ID, List, given, topic};
use super::*;
use tidegate_gate::{Action, Content, Grant, Policy, Positions, Reads, Tenants, TopicRule};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("acme".to_owned()),
        Just("globex".to_owned()),
        Just("acme/1".to_owned()),
        Just(ID.to_owned()),
        Just("a.b".to_owned()),
        Just("1.0".to_owned()),
        Just("application/cloudevents+json".to_owned()),
        ".{0,12}",
    ];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        word.prop_map(String::into_bytes),
        object().prop_map(String::into_bytes),
    ]
}

/// An object that is an event, or nearly one.
fn object() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => Just("id"), 4 => Just("type"), 3 => Just("tenant_id"), 2 => Just("correlation_id"),
        1 => Just("timestamp"), 1 => Just("version"), 1 => Just("data"), 1 => Just("d\\u0061ta"),
        3 => Just("tenantid"), 4 => Just("specversion"), 4 => Just("source"), 1 => Just("time"),
        1 => Just("action"), 1 => Just("correlationid"), 1 => Just("data_base64"), 1 => Just("x"),
    ];
    let value = |name: &'static str| {
        let usual = match name {
            "id" | "correlation_id" => format!("{ID:?}"),
            "type" => r#""a.b""#.to_owned(),
            "tenant_id" | "tenantid" => r#""acme""#.to_owned(),
            "specversion" | "version" => r#""1.0""#.to_owned(),
            "timestamp" | "time" => r#""2026-01-02T03:04:05Z""#.to_owned(),
            _ => r#""x""#.to_owned(),
        };
        let odd = prop_oneof![Just("null"), Just("7"), Just("[1]"), Just("{\"command\":\"x\"}"), Just(r#""globex""#)];
        prop_oneof![8 => Just(usual), 1 => odd.prop_map(str::to_owned)].prop_map(move |v| format!("\"{name}\":{v}"))
    };
    prop::collection::vec(name.prop_flat_map(value), 0..9).prop_map(|members| format!("{{{}}}", members.join(",")))
}

fn record() -> impl Strategy<Value = Given> {
    let header = prop_oneof![
        Just("tenant".to_owned()),
        Just("tg_tenant".to_owned()),
        Just("content-type".to_owned()),
        Just("ce_id".to_owned()),
        Just("ce_type".to_owned()),
        Just("ce_source".to_owned()),
        Just("ce_specversion".to_owned()),
        Just("ce_tenantid".to_owned()),
        "(ce_)?.{0,6}",
    ];
    let headers = prop::collection::vec((header, prop::option::of(bytes())), 0..6);
    (prop::option::of(bytes()), bytes(), headers, any::<i64>()).prop_map(|(key, value, headers, offset)| Given {
        key,
        offset,
        headers: List(headers),
        ..given(value)
    })
}

/// A record that is a whole event in every format, but for one change.
fn event() -> impl Strategy<Value = Given> {
    let change = prop_oneof![Just(None), (any::<prop::sample::Index>(), any::<u8>()).prop_map(Some)];
    (change, any::<bool>(), any::<bool>()).prop_map(|(change, headers, structured)| {
        let text = if structured {
            r#"{"specversion":"1.0","id":"A-1","source":"/x","type":"a.b","tenantid":"acme","data":[1]}"#.to_owned()
        } else {
            format!(r#"{{"id":"{ID}","type":"a.b","tenant_id":"acme","data":{{"x":"\u00e9é"}}}}"#)
        };
        let mut value = text.into_bytes();
        if let Some((at, byte)) = change {
            let at = at.index(value.len());
            value[at] = byte;
        }
        let mut record = given(value).key("acme/1");
        if headers {
            record = record.acme();
        }
        if structured {
            return record.header("content-type", "application/cloudevents+json");
        }
        record.header("ce_specversion", "1.0").header("ce_id", "1").header("ce_source", "/x").header("ce_type", "a.b")
    })
}

/// Conditions that read whatever [`event`] and [`record`] may hold.
fn reads() -> Arc<Reads> {
    let grant = Grant {
        role: "r".into(),
        allow: vec![Action::Subscribe],
        topics: vec!["*".parse().unwrap()],
        tenants: Tenants::Own,
        positions: Positions::Hidden,
        condition: Some(Arc::new(READS.parse().unwrap())),
        origin: "".into(),
    };
    let physical = "shared.orders".parse().unwrap();
    let rule = TopicRule { name: "orders".into(), physical, public: false, publishable: false };
    Arc::clone(Policy::new([rule], [grant]).reads("orders").unwrap())
}

const READS: &str = "key == '1' || event.type == 'a.b' || event.tenant_id == 'acme' || event.timestamp == 'x' || \
    event.data == 'x' || event.data.x == 'y' || event.data.command == 'x' || event.action.command == 'x' || \
    headers.tenant == 'acme' || event.version == '1.0' || event.correlation_id == 'x' || event.x == '7'";

fn spec() -> impl Strategy<Value = TopicSpec> {
    let format = prop_oneof![
        Just(Format::Envelope),
        Just(Format::CloudEvents),
        (any::<bool>(), any::<bool>()).prop_map(|(constant, pointers)| {
            let at = |text: &str| pointers.then(|| text.parse().unwrap());
            Format::Json(JsonFormat {
                correlation_id: None,
                event_type: if constant {
                    TypeSource::Constant("a.b".into())
                } else {
                    TypeSource::Pointer("/type".parse().unwrap())
                },
                id: at("/id"),
                time: at("/timestamp"),
                key: at("/data/x"),
                tenant: at("/tenant_id"),
            })
        }),
    ];
    let source = prop_oneof![
        Just(TenantSource::Name),
        Just(TenantSource::Header("tenant".into())),
        Just(TenantSource::Key),
        Just(TenantSource::Envelope),
        Just(TenantSource::Nobody),
    ];
    (format, source, any::<bool>()).prop_map(|(format, tenant, tenant_key)| TopicSpec {
        named_tenant: (tenant == TenantSource::Name).then(|| "acme".into()),
        tenant,
        tenant_key,
        reads: Some(reads()),
        ..topic(format)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn whatever_is_accepted_is_an_event_of_its_tenant(spec in spec(), record in prop_oneof![record(), event()]) {
        let mut round = Round::default();
        if record.decode(&spec, &mut round) == Outcome::Event {
            let entry = round.entries[0];
            let wire = std::str::from_utf8(round.wire(&entry)).unwrap();
            let frame = format!(r#"{{"batch":{{"entries":[{wire}]}}}}"#);
            prop_assert_eq!(tidegate_protocol::json::validate(&frame), Ok(()));
            let event = Entry::read(&tidegate_protocol::json::Raw::parse(wire).unwrap()).unwrap().event;
            // What was looked up of the record is what a condition reads of the event as it is delivered.
            let reads = spec.reads.as_ref().unwrap();
            let content = Content::new(event, round.key(&entry), round.headers(&entry).unwrap(), 0);
            for path in &reads.paths {
                prop_assert_eq!(round.extracted(&entry, path), Some(content.extract(path)), "{}", path);
            }
            let head = Head::read(event).unwrap();
            prop_assert_eq!(head.check(i64::MAX, 0), Ok(()));
            if spec.tenant == TenantSource::Nobody {
                prop_assert_eq!(round.tenant(&entry), "");
            } else {
                prop_assert_eq!(head.text("tenant_id").unwrap().unwrap(), round.tenant(&entry));
                prop_assert!(ids::is_tenant(round.tenant(&entry)));
            }
            prop_assert_eq!(head.text("type").unwrap().unwrap(), round.event_type(&entry));
            for name in ["id", "correlation_id", "timestamp"] {
                prop_assert!(head.text(name).unwrap().is_some(), "{}", name);
            }
        } else {
            prop_assert!(round.is_empty());
        }
    }
}

#[test]
fn a_round_holds_events_in_order() {
    let spec = topic(Format::Envelope);
    let mut round = Round::default();
    for n in 0..3 {
        let text = format!(r#"{{"id":"{ID}","type":"a.b{n}"}}"#);
        assert_eq!(given(text).acme().decode(&spec, &mut round), Outcome::Event);
        assert_ne!(given("{").acme().decode(&spec, &mut round), Outcome::Event);
    }
    let types: Vec<_> = round.entries.iter().map(|entry| round.event_type(entry)).collect();
    assert_eq!(types, ["a.b0", "a.b1", "a.b2"]);
}
