//! TLS that ends at the bridge: sockets and requests over it, and nothing in the clear.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tidegate_tests::embedded::Embedded;
use tidegate_tests::process::{Process, tidegate};
use tidegate_tests::until;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_speak_tls() {
    let stage = Embedded::new();
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
    let address: SocketAddr = process.word_after("serving address=").parse().expect("an address");
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
