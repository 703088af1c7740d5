//! What configurations come to.

use super::*;
use crate::cli::topics::{acl, commands, show};
use crate::config::{Config, KafkaSettings, parse};

const CONFIG: &str = r#"
[log.kafka]
bootstrap.servers = "a:9092"
sasl.username = "gate"
[tokens]
algorithms = ["HS256"]
secret = "a secret of at least thirty-two bytes"
[topics.orders]
physical = "{tenant}.orders"
[topics.audit]
physical = "eu.{tenant}.audit"
format = "cloudevents"
[topics.carts]
physical = "shop.carts"
tenant.from = "envelope"
key = "tenant/key"
[topics.news]
public = true
"#;

fn config() -> Config {
    parse(CONFIG, "t.toml", std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}")).config
}

fn cluster(brokers: i32, topics: &[(&str, u32, u32)]) -> Cluster {
    let topics =
        topics.iter().map(|&(name, partitions, replicas)| (name.to_owned(), TopicSummary { partitions, replicas }));
    Cluster { brokers: (1..=brokers).collect(), topics: topics.collect(), ..Cluster::default() }
}

fn plan(cluster: &Cluster, tenants: Tenants, sizes: &Sizes) -> Plan {
    Plan::new(&config().topics, true, cluster, tenants, sizes)
}

fn named(names: &[&str]) -> Tenants {
    Tenants::Named(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn sums_count_what_is_there_as_it_is_and_what_is_missing_as_it_will_be() {
    let cluster = cluster(3, &[("acme.orders", 6, 2), ("shop.carts", 12, 3), ("other", 10, 1)]);
    let plan = plan(&cluster, named(&["acme", "globex", "acme"]), &Sizes::default());
    let row = |topic: &str| plan.topics.iter().find(|row| row.topic == topic).unwrap();
    assert_eq!(plan.tenants, 2);
    assert_eq!(row("orders").sum, Sum { topics: 2, partitions: 7, replicas: 15 });
    assert_eq!(row("orders").missing_names, ["globex.orders"]);
    assert_eq!(row("audit").missing_names, ["eu.acme.audit", "eu.globex.audit"]);
    assert_eq!((row("carts").missing, row("news").missing, row(REVOCATIONS).missing), (0, 1, 1));
    assert_eq!(plan.total, Sum { topics: 7, partitions: 23, replicas: 63 });
    assert_eq!(plan.cluster, Sum { topics: 8, partitions: 33, replicas: 73 }, "with what is not ours");
    let revocations = plan.missing().pop().unwrap();
    assert_eq!((revocations.name.as_str(), &*revocations.settings["cleanup.policy"]), (REVOCATIONS, "compact"));
}

#[test]
fn tenants_are_found_by_any_of_their_topics() {
    let there =
        [("acme.orders", 1, 3), ("eu.globex.audit", 1, 3), ("__consumer_offsets", 50, 3), ("eu.a.b.audit", 1, 3)];
    let plan = plan(&cluster(3, &there), Tenants::Found, &Sizes::default());
    assert_eq!(plan.tenant_names, ["acme", "globex"]);
    let missing: BTreeSet<String> = plan.missing().into_iter().map(|topic| topic.name).collect();
    let expected = ["eu.acme.audit", "globex.orders", "news", "shop.carts", REVOCATIONS];
    assert_eq!(missing, expected.map(str::to_owned).into());
    let none = Plan::new(&config().topics, true, &cluster(3, &[]), Tenants::Found, &Sizes::default());
    assert!(none.warnings.iter().any(|warning| warning.contains("no tenant has a topic yet")), "{:?}", none.warnings);
}

#[test]
fn a_number_of_tenants_is_counted_with_those_that_are_there() {
    let plan = plan(&cluster(3, &[("acme.orders", 4, 3)]), Tenants::Assumed(1_000), &Sizes::default());
    let orders = plan.topics.iter().find(|row| row.topic == "orders").unwrap();
    assert_eq!(orders.sum, Sum { topics: 1_000, partitions: 1_003, replicas: 3_009 });
    assert_eq!((orders.missing, orders.missing_names.len()), (999, 0));
}

#[test]
fn too_much_and_too_little_are_warned_of() {
    let warnings = |brokers, tenants, sizes: &Sizes| {
        plan(&cluster(brokers, &[("acme.orders", 1, 1)]), Tenants::Assumed(tenants), sizes).warnings.join("\n")
    };
    assert!(warnings(3, 10, &Sizes::default()).contains("orders: acme.orders has one replica"));
    let one = warnings(1, 10, &Sizes::default());
    assert!(one.contains("what is missing would have one replica"), "{one}");
    let five = Sizes { replicas: Some(5), ..Sizes::default() };
    assert!(warnings(3, 10, &five).contains("5 replicas need as many brokers; there are 3"));
    let many = warnings(3, 3_000, &Sizes::default());
    assert!(many.contains("6003 partitions a broker") && many.contains("it takes 5 brokers"), "{many}");
    assert!(!many.contains("200000"));
    assert!(warnings(100, 40_000, &Sizes::default()).contains("should stay under 200000"));
    let mut plain = plan(&cluster(3, &[(REVOCATIONS, 1, 3)]), named(&["acme"]), &Sizes::default());
    plain.check_own(&[(REVOCATIONS.to_owned(), [("cleanup.policy".to_owned(), "delete".to_owned())].into())].into());
    assert!(plain.warnings.iter().any(|warning| warning.contains("no longer revoked")), "{:?}", plain.warnings);
}

#[test]
fn sizes_are_said_for_all_or_for_one() {
    let partitions = vec![(None, 2), (Some("orders".to_owned()), 6)];
    let settings = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
    let sizes = Sizes { partitions, replicas: Some(2), settings };
    let made = plan(&cluster(3, &[]), named(&["acme"]), &sizes).missing();
    let of = |name: &str| made.iter().find(|topic| topic.name == name).unwrap();
    assert_eq!((of("acme.orders").partitions, of("shop.carts").partitions), (Some(6), Some(2)));
    assert_eq!((of(REVOCATIONS).partitions, of(REVOCATIONS).replicas), (Some(1), Some(2)));
    assert_eq!(of("news").settings["retention.ms"], "1000");
    assert!(!of(REVOCATIONS).settings.contains_key("retention.ms"), "what is revoked is never forgotten by age");
}

#[test]
fn access_is_what_is_needed_and_no_more() {
    let config = config();
    let settings =
        [("bootstrap.servers".to_owned(), "a:9092".to_owned()), ("sasl.username".to_owned(), "gate".to_owned())];
    let kafka = KafkaSettings { settings: settings.into() };
    let plan = plan(&cluster(3, &[]), named(&["acme", "globex"]), &Sizes::default());
    let principal = acl::usual_principal(&kafka);
    let lines = acl::commands(&config.topics, &plan, &principal, &commands::Reach::new(&kafka));
    let of = |word: &str| {
        let fits = |line: &&String| line.contains(word) && line.starts_with("kafka-acls.sh") && line.contains("--add");
        lines.iter().find(fits).unwrap_or_else(|| panic!("{word}: {lines:#?}")).as_str()
    };
    assert!(of("--topic acme.orders --topic globex.orders").contains("--operation Write"));
    assert!(
        of("--topic eu. --resource-pattern-type prefixed").contains("--operation Read --operation Describe --topic")
    );
    assert!(!of("--topic eu. ").contains("Write") && !of("--topic news").contains("Write"));
    assert!(of("--topic shop.carts").contains("--operation Write"));
    assert!(of("--topic _tidegate. --resource-pattern-type prefixed").contains("--operation Write"));
    assert!(lines.iter().all(|line| !line.contains("--add") || line.contains("--allow-principal User:gate")));
    assert!(lines.iter().any(|line| line.contains("un-revoke")));
}

#[test]
fn tables_are_told_to_people_and_the_same_to_programs() {
    let plan = plan(&cluster(3, &[("acme.orders", 1, 3)]), named(&["acme"]), &Sizes::default());
    let text = show::tables(&plan, &["# why".to_owned(), "kafka-acls.sh …".to_owned()]);
    let line = |word: &str| text.lines().find(|line| line.starts_with(word)).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(
        line("orders").split_whitespace().collect::<Vec<_>>(),
        ["orders", "{tenant}.orders", "1", "0", "1", "3"]
    );
    assert_eq!(line("together").split_whitespace().collect::<Vec<_>>(), ["together", "5", "4", "5", "15"]);
    assert!(text.contains("5 topics, 5 partitions, 15 with their replicas: 5 a broker"), "{text}");
    assert!(text.contains("eu.acme.audit: 1 partition, 3 replicas") && text.contains("# why"));
    let json: serde_json::Value =
        serde_json::from_str(&show::json(&plan, &["# why".to_owned(), "x".to_owned()]).unwrap()).unwrap();
    assert_eq!((&json["total"]["replicas"], &json["acls"]), (&15.into(), &serde_json::json!(["x"])));
    assert_eq!(json["topics"][0]["topic"], "audit");
}
