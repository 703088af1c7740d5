//! TLS, ended here where no proxy does: the certificate, read again when its files change, and the records of one
//! connection.

use std::io::{self, IoSlice, Read, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::Ticketer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, ProducesTickets};
use tokio_rustls::rustls::{HandshakeKind, ServerConfig, ServerConnection};

use crate::config;

/// How often the files are looked at.
const GLANCE: Duration = Duration::from_secs(30);

/// Plain bytes that are encrypted at once, as four records that leave by one write. What is not encrypted yet can still
/// be taken back, and is shared with everybody else who is sent the same.
const AHEAD: usize = 64 * 1024;

/// Why a certificate can not be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can not be read, or holds nothing of use.
    #[error("server.tls: {}: {problem}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The key is not the certificate's, or of a kind that is not known.
    #[error("server.tls: certificate and key can not be used together: {0}")]
    Pair(tokio_rustls::rustls::Error),
    /// The system gives no random bytes.
    #[error("server.tls: no keys for session tickets: {0}")]
    Tickets(tokio_rustls::rustls::Error),
}

/// Whether these files can be used.
pub fn check(files: &config::Tls) -> Result<(), CertificateError> {
    Certificate::load(files).map(drop)
}

/// The certificate that the listener shows.
pub(super) struct Certificate {
    files: config::Tls,
    /// Who comes back is spared the signature, also after the certificate has changed, and without the node remembering
    /// anybody: all that is needed is in the client's ticket, under keys that change every six hours.
    tickets: Arc<dyn ProducesTickets>,
    current: Mutex<(Stamp, TlsAcceptor)>,
}

/// When the files were last written.
type Stamp = [Option<SystemTime>; 2];

impl Certificate {
    /// Reads the files.
    pub(super) fn load(files: &config::Tls) -> Result<Arc<Self>, CertificateError> {
        let tickets = Ticketer::new().map_err(CertificateError::Tickets)?;
        let current = (stamp(files), acceptor(files, &tickets)?);
        Ok(Arc::new(Self { files: files.clone(), tickets, current: Mutex::new(current) }))
    }

    /// Takes the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Reads the files again if they have changed. What is wrong with new ones leaves the old ones in use.
    pub(super) fn refresh(&self) -> Result<bool, CertificateError> {
        let now = stamp(&self.files);
        if self.current.lock().unwrap_or_else(PoisonError::into_inner).0 == now {
            return Ok(false);
        }
        let acceptor = acceptor(&self.files, &self.tickets)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = (now, acceptor);
        Ok(true)
    }

    /// Looks at the files now and then, for as long as the listener is there.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut tick = tokio::time::interval(GLANCE);
        loop {
            tick.tick().await;
            match self.refresh() {
                Ok(true) => tracing::info!("new connections are shown the new certificate"),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "the certificate has changed and can not be used; keeping the old one");
                }
            }
        }
    }
}

fn stamp(files: &config::Tls) -> Stamp {
    [&files.certificate_file, &files.key_file].map(|file| file.metadata().and_then(|data| data.modified()).ok())
}

fn acceptor(files: &config::Tls, tickets: &Arc<dyn ProducesTickets>) -> Result<TlsAcceptor, CertificateError> {
    let wrong = |file: &PathBuf, problem: &dyn std::fmt::Display| CertificateError::File {
        file: file.clone(),
        problem: problem.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(&files.certificate_file, &error))?;
    if chain.is_empty() {
        return Err(wrong(&files.certificate_file, &"holds no certificate in PEM"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(|error| wrong(&files.key_file, &error))?;
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).map_err(CertificateError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = Arc::clone(tickets);
    // Each connection brings one ticket home, and needs one to come back by.
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The records of one connection.
pub(super) struct Records(Box<ServerConnection>);

impl Records {
    pub(super) fn new(mut connection: ServerConnection) -> Self {
        connection.set_buffer_limit(Some(AHEAD));
        Self(Box::new(connection))
    }

    /// Reads plain bytes. Fills nothing at the end.
    pub(super) fn poll_read(
        &mut self,
        tcp: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.0.reader().read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Whoever goes without saying so is gone too.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
            let mut raw = [0; 4096];
            let mut raw = ReadBuf::new(&mut raw);
            ready!(Pin::new(&mut *tcp).poll_read(cx, &mut raw))?;
            let mut bytes = raw.filled();
            loop {
                self.0.read_tls(&mut bytes)?;
                self.0.process_new_packets().map_err(io::Error::other)?;
                if bytes.is_empty() {
                    break;
                }
            }
        }
    }

    /// Encrypts some of what waits. Only when all that is encrypted was sent.
    pub(super) fn take(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.writer().write_vectored(slices)
    }

    /// Sends what is encrypted, as far as the socket takes it.
    pub(super) fn send(&mut self, write: impl Fn(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(&mut Sink(&write))?;
        }
        Ok(())
    }

    /// Whether something is encrypted and not sent.
    pub(super) fn has_more(&self) -> bool {
        self.0.wants_write()
    }

    /// Says that nothing more will come.
    pub(super) fn say_goodbye(&mut self) {
        self.0.send_close_notify();
    }
}

/// Where encrypted records go: all of them at once.
struct Sink<F>(F);

impl<F: Fn(&[IoSlice<'_>]) -> io::Result<usize>> Write for Sink<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (self.0)(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a handshake ended, for the metrics.
pub(super) fn outcome(connection: &ServerConnection) -> &'static str {
    match connection.handshake_kind() {
        Some(HandshakeKind::Resumed) => "resumed",
        _ => "full",
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn written(folder: &std::path::Path, name: &str) -> config::Tls {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let files = config::Tls { certificate_file: folder.join("cert.pem"), key_file: folder.join("key.pem") };
        std::fs::write(&files.certificate_file, made.cert.pem()).unwrap();
        std::fs::write(&files.key_file, made.signing_key.serialize_pem()).unwrap();
        files
    }

    /// As if it had been written later: two writes may fall into one tick of the file system's clock.
    fn age(files: &config::Tls, seconds: u64) {
        let file = std::fs::File::options().write(true).open(&files.certificate_file).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = Certificate::load(&written(folder.path(), "one")).unwrap();
        assert!(!certificate.refresh().unwrap());
        let files = written(folder.path(), "two");
        age(&files, 10);
        assert!(certificate.refresh().unwrap());
        std::fs::write(&files.key_file, "nonsense").unwrap();
        age(&files, 20);
        let error = certificate.refresh().unwrap_err().to_string();
        assert!(error.contains("key.pem"), "{error}");
        let before = certificate.acceptor();
        assert!(certificate.refresh().is_err());
        assert!(Arc::ptr_eq(before.config(), certificate.acceptor().config()), "the old one stays");
    }

    /// Goes through a handshake and a word from either side; how the server saw it end.
    fn met(certificate: &Certificate, client: &Arc<ClientConfig>) -> &'static str {
        let mut client = ClientConnection::new(Arc::clone(client), "localhost".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::clone(certificate.acceptor().config())).unwrap();
        while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            while !wire.is_empty() {
                let taken = server.read_tls(&mut &wire[..]).unwrap();
                wire.drain(..taken);
                server.process_new_packets().unwrap();
            }
            server.write_tls(&mut wire).unwrap();
            while !wire.is_empty() {
                let taken = client.read_tls(&mut &wire[..]).unwrap();
                wire.drain(..taken);
                client.process_new_packets().unwrap();
            }
        }
        assert_eq!(client.tls13_tickets_received(), 1);
        outcome(&server)
    }

    #[test]
    fn who_comes_back_is_spared_the_signature_after_a_new_certificate_too() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = Certificate::load(&written(folder.path(), "localhost")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap()).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let client = Arc::new(client);
        assert_eq!(met(&certificate, &client), "full");
        assert_eq!(met(&certificate, &client), "resumed");
        age(&written(folder.path(), "localhost"), 10);
        assert!(certificate.refresh().unwrap());
        // The client does not know the new certificate's signer.
        assert_eq!(met(&certificate, &client), "resumed");
        assert_eq!(certificate.acceptor().config().max_early_data_size, 0, "what is replayed is never taken");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let files = written(folder.path(), "one");
        let said = |files: &config::Tls| Certificate::load(files).err().unwrap().to_string();
        let missing = config::Tls { certificate_file: folder.path().join("none.pem"), ..files.clone() };
        assert!(said(&missing).contains("none.pem"), "{}", said(&missing));
        let swapped =
            config::Tls { certificate_file: files.key_file.clone(), key_file: files.certificate_file.clone() };
        assert!(said(&swapped).contains("key.pem"), "{}", said(&swapped));
        let other = tempfile::tempdir().unwrap();
        let foreign = config::Tls { key_file: written(other.path(), "other").key_file, ..files };
        assert!(said(&foreign).contains("can not be used together"), "{}", said(&foreign));
    }
}
