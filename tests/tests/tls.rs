//! TLS that ends at the bridge: sockets and requests over it, and nothing in the clear.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_tests::embedded::Embedded;
use tidegate_tests::http::Request;
use tidegate_tests::process::{Process, tidegate};
use tidegate_tests::until;
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Writes a certificate of `localhost` that signs itself, and its key.
fn certificate(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    fs::write(directory.join("cert.pem"), made.cert.pem()).expect("written");
    fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
}

fn given(arguments: &[&str], address: SocketAddr, token: &str, trusted: &Path) -> Command {
    let mut command = tidegate(arguments);
    command.env("TIDEGATE_URL", format!("wss://localhost:{}/v1/ws", address.port()));
    command.env("TIDEGATE_TOKEN", token).env("SSL_CERT_FILE", trusted);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Starts a bridge that ends TLS itself: it, its address and its certificate's file.
fn bridge(stage: &Embedded) -> (Process, SocketAddr, PathBuf) {
    let file = stage.configuration();
    let directory = file.parent().expect("a folder");
    certificate(directory);
    // Where the path comes from the environment it is taken from the working folder.
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| directory.join(name));
    let settings = [
        ("TIDEGATE_SERVER__TLS__CERTIFICATE_FILE", certificate.to_str().expect("UTF-8")),
        ("TIDEGATE_SERVER__TLS__KEY_FILE", key.to_str().expect("UTF-8")),
        ("TIDEGATE_LIMITS__PUBLISH_EVENTS_PER_S", "100000"),
        ("TIDEGATE_LIMITS__PUBLISH_BYTES_PER_S", "1GiB"),
    ];
    let process = Process::start(&["serve", "--config", file.to_str().expect("UTF-8")], &settings);
    let address = process.word_after("serving address=").parse().expect("an address");
    (process, address, certificate)
}

/// Takes connections in the clear and carries them on to the bridge over TLS, as a browser would speak it.
async fn over_tls(bridge: SocketAddr, trusted: &Path) -> SocketAddr {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).expect("PEM")).expect("a certificate");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut plain, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let tcp = tokio::net::TcpStream::connect(bridge).await?;
                let mut tls = connector.connect(ServerName::try_from("localhost").expect("a name"), tcp).await?;
                tokio::io::copy_bidirectional(&mut plain, &mut tls).await
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_streams_speak_tls() {
    const EVENTS: usize = 200;
    let stage = Embedded::new();
    let (_process, address, certificate) = bridge(&stage);
    let address = over_tls(address, &certificate).await;
    let token = stage.token("acme", "ada", "member");
    let event = |n: usize| json!({ "type": "order.created", "data": { "n": n, "pad": "x".repeat(n * 97) } });
    until("it takes what is published over TLS", async || {
        Request::publish("orders", &token, event(0).to_string()).ask(address).await.status == 200
    })
    .await;
    // Live, and far more than a record, a read and a socket hold.
    let hello = json!({ "hello": { "token": token, "client": "tab" } });
    let subscribe = json!({ "subscribe": { "id": 1, "topic": "orders" } });
    let mut stream = Request::stream(&[hello, subscribe]).events(address).await;
    stream.frame("subscribed").await;
    let events: Vec<Value> = (1..EVENTS).map(|n| json!({ "event": event(n) })).collect();
    for some in events.chunks(20) {
        let answer = Request::publish("orders", &token, json!(some).to_string()).ask(address).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let number = |event: &Value| event["data"]["n"].as_u64().expect("a number") as usize;
    let mut live = Vec::new();
    while live.len() < EVENTS - 1 {
        let batch = stream.frame("batch").await;
        live.extend(batch["entries"].as_array().expect("entries").iter().map(|entry| number(&entry["event"])));
    }
    assert_eq!(live, (1..EVENTS).collect::<Vec<_>>());
    // From the beginning, as events.
    let mut reader = Request::read("orders", "?from=earliest", &token).events(address).await;
    for n in 0..EVENTS {
        let event: Value = serde_json::from_str(&reader.named("order.created").await.data).expect("JSON");
        assert_eq!((number(&event), event["data"]["pad"].as_str().map(str::len)), (n, Some(n * 97)));
    }
    // Whoever came back was spared the signature, and that is told.
    let metrics = Request::new("GET", "/metrics").ask(address).await.body;
    let told = |outcome: &str| {
        let name = format!("tidegate_tls_handshakes_total{{outcome=\"{outcome}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&*name));
        line.map_or(0, |count| count.parse::<usize>().expect("a number"))
    };
    assert!(told("full") >= 1 && told("resumed") >= 10 && told("failed") == 0, "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_speak_tls() {
    let stage = Embedded::new();
    let (_process, address, certificate) = bridge(&stage);
    let token = stage.token("acme", "ada", "member");
    let first = r#"{"type":"order.created","data":{"n":0}}"#;
    until("it takes what is published over TLS", async || {
        let output = given(&["publish", "orders", first], address, &token, &certificate).output().expect("it starts");
        output.status.success()
    })
    .await;

    // Far more than a record, a read and a socket hold.
    let mut publish = given(&["publish", "orders"], address, &token, &certificate);
    let mut publish =
        publish.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut events = publish.stdin.take().expect("piped");
    for n in 1..200 {
        let pad = "x".repeat(n * 97);
        writeln!(events, r#"{{"type":"order.created","data":{{"n":{n},"pad":"{pad}"}}}}"#).expect("it reads");
    }
    drop(events);
    let output = publish.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output));
    let mut tail = given(&["tail", "orders", "--from", "earliest", "--count", "200"], address, &token, &certificate);
    let output = tail.output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output));
    let seen: Vec<serde_json::Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let numbers: Vec<u64> = seen.iter().map(|event| event["data"]["n"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    assert_eq!(seen[199]["data"]["pad"].as_str().map(str::len), Some(199 * 97));

    // Whoever does not know the certificate's signer does not go on, and nothing is said in the clear.
    let stranger = tempfile::tempdir().expect("a folder");
    self::certificate(stranger.path());
    let mut wary = given(&["tail", "orders"], address, &token, &stranger.path().join("cert.pem"));
    let output = wary.output().expect("it starts");
    assert!(!output.status.success() && said(&output).contains("certificate"), "{}", said(&output));
    let mut plain = TcpStream::connect(address).expect("it listens");
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}
