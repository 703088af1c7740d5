//! `[topics]`

use super::*;

#[test]
fn problems() {
    for (text, expected) in [
        ("[topics.x]\n", "tidegate.toml:10: topics.x.tenant.from: must say whose the events are"),
        ("[topics.\"a b\"]\ntenant.from = \"key\"\n", "topics.a b: a topic's name is words"),
        ("[topics._tidegate]\ntenant.from = \"key\"\n", "topics._tidegate: names that begin with _tidegate"),
        ("[topics.x]\ntenant.from = \"name\"\n", "topics.x.tenant.from: \"name\" needs {tenant} in physical"),
        ("[topics.x]\ntenant.from = \"header\"\n", "topics.x.tenant.header: must name the header"),
        (
            "[topics.x]\ntenant.from = \"key\"\ntenant.header = \"h\"\n",
            "topics.x.tenant.header: is of use with from = \"header\" only",
        ),
        (
            "[topics.x]\ntenant.from = \"key\"\ntenant.pointer = \"/t\"\n",
            "topics.x.tenant.pointer: is of use with format = \"json\"",
        ),
        ("[topics.x]\ntenant.from = \"hedder\"\n", "topics.x.tenant.from: \"hedder\" must be"),
        ("[topics.x]\npublic = true\ntenant.from = \"key\"\n", "topics.x.public: a public topic belongs to no tenant"),
        ("[topics.x]\nphysical = \"a b\"\ntenant.from = \"key\"\n", "topics.x.physical: \"a b\" may hold letters"),
        (
            "[topics.x]\nphysical = \"{tenant}-x\"\n",
            "topics.x.physical: \"{tenant}-x\" {tenant} must be set off by dots",
        ),
        (
            "[topics.x]\nphysical = \"carts\"\ntenant.from = \"key\"\n",
            "topics.x.physical: lies on carts, as topics.carts does",
        ),
        (
            "[topics.x]\nphysical = \"acme.orders\"\ntenant.from = \"key\"\n",
            "topics.x.physical: lies on acme.orders, as topics.orders does ({tenant}.orders)",
        ),
        (
            "[topics.x]\ntenant.from = \"key\"\nkey = \"tenant\"\n",
            "topics.x.key: \"tenant\" must be \"plain\" or \"tenant/key\"",
        ),
        ("[topics.x]\ntenant.from = \"key\"\nformat = \"avro\"\n", "topics.x.format: \"avro\" must be"),
        ("[topics.x]\ntenant.from = \"key\"\nformat = \"json\"\n", "topics.x.json: format = \"json\" needs json.type"),
        ("[topics.x]\ntenant.from = \"key\"\nformat = \"json\"\njson.id = \"/id\"\n", "topics.x.json.type: is needed"),
        (
            "[topics.x]\ntenant.from = \"key\"\nformat = \"json\"\njson.type = \"open\"\n",
            "topics.x.json.type: \"open\" is neither an event type",
        ),
        (
            "[topics.x]\ntenant.from = \"key\"\nformat = \"json\"\njson.type = \"/a~\"\n",
            "topics.x.json.type: \"/a~\" is no JSON pointer",
        ),
        (
            "[topics.x]\ntenant.from = \"key\"\njson.type = \"a.b\"\n",
            "topics.x.json: is of use with format = \"json\" only",
        ),
        (
            "[topics.x]\ntenant.from = \"envelope\"\nformat = \"json\"\njson.type = \"a.b\"\n",
            "topics.x.tenant.pointer: must say where in the JSON",
        ),
    ] {
        let problems = bad(text);
        assert!(problems.contains(expected), "{problems}\n{expected}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
    }
}

#[test]
fn json_and_headers() {
    let config = good(
        "[topics.x]\ntenant.header = \"x-tenant\"\nformat = \"json\"\njson.type = \"order.changed\"\njson.key = \"/a~1b/c\"\n\
         [topics.y]\ntenant.from = \"envelope\"\ntenant.pointer = \"/t\"\nformat = \"json\"\njson.type = \"/kind\"\n",
        &[],
    );
    let x = config.topics.get("x").unwrap();
    assert_eq!(x.tenant, Some(TenantFrom::Header("x-tenant".into())));
    let Format::Json(json) = &x.format else { panic!("json") };
    assert_eq!(json.event_type, TypeFrom::Constant("order.changed".into()));
    assert_eq!(json.key.as_ref().unwrap().path(), ["a/b", "c"]);
    let y = config.topics.get("y").unwrap();
    assert_eq!(y.tenant, Some(TenantFrom::Member("/t".parse().unwrap())));
    assert!(!y.publishable());
}

#[test]
fn publishing_to_a_shared_topic_needs_keys_of_tenants() {
    let grant = "[[grants]]\nrole = \"clerk\"\nallow = [\"publish\"]\ntopics = [\"*\"]\n";
    assert_eq!(
        bad(grant),
        "tidegate.toml:8: topics.carts.key: must be \"tenant/key\": tenants share the topic, and grants[0] lets them publish to it"
    );
    let quiet = warnings(LEAST).join("\n");
    assert!(quiet.contains("tidegate.toml:8: topics.carts.key: tenants share the topic"), "{quiet}");
    let with_key = LEAST.replace("tenant.from = \"envelope\"", "tenant.from = \"envelope\"\nkey = \"tenant/key\"");
    let config = read(&format!("{with_key}{grant}"), &[]).unwrap().config;
    assert!(config.topics.get("carts").unwrap().publishable());
}
