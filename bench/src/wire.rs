//! What carries a session: a socket, with TLS over it or without.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use anyhow::Context;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// A connection to the server, blocking until it is told otherwise.
pub(crate) struct Wire {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// What a reading came to.
pub(crate) enum Reading {
    /// The server closed the connection.
    Closed,
    /// So many bytes, perhaps none; `more` may wait.
    Bytes { count: usize, more: bool },
}

/// Whom to trust, and whether to remember servers.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts what a certificate of the file (PEM) has signed; every handshake is a whole one.
    pub(crate) fn read(file: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        let bytes = fs::read(file).with_context(|| format!("can not read {file}"))?;
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            roots.add(certificate.with_context(|| format!("{file} holds no certificates"))?)?;
        }
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// The same, of one client that comes back with what the server gave it.
    pub(crate) fn returning(&self) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.resumption = Resumption::in_memory_sessions(2);
        Self(Arc::new(config))
    }
}

impl Wire {
    /// Connects; with TLS if somebody is trusted.
    pub(crate) fn connect(address: SocketAddr, trust: Option<&Trust>) -> anyhow::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let tls = trust.map(|Trust(config)| ClientConnection::new(config.clone(), ServerName::from(address.ip())));
        let mut tls = tls.transpose()?.map(Box::new);
        while let Some(tls) = tls.as_mut().filter(|tls| tls.is_handshaking()) {
            tls.complete_io(&mut socket)?;
        }
        Ok(Self { socket, tls })
    }

    /// From here on nothing blocks, and the poll says when there is something to read.
    pub(crate) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        registry.register(&mut SourceFd(&self.socket.as_raw_fd()), token, Interest::READABLE)
    }

    /// Reads once from the socket. With TLS, the end of the buffer holds what is not decrypted yet.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Reading> {
        let Some(tls) = &mut self.tls else {
            let count = self.socket.read(buffer)?;
            // The readiness is told by its edge: what fills the buffer may not be all.
            return Ok(if count == 0 {
                Reading::Closed
            } else {
                Reading::Bytes { count, more: count == buffer.len() }
            });
        };
        // What is decrypted is less than what it is decrypted from, but for the part of a record that came before.
        let (plain, encrypted) = buffer.split_at_mut(buffer.len() / 2 + RECORD);
        let came = self.socket.read(encrypted)?;
        if came == 0 {
            return Ok(Reading::Closed);
        }
        let (mut left, mut count) = (&encrypted[..came], 0);
        while !left.is_empty() {
            tls.read_tls(&mut left)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            loop {
                match tls.reader().read(&mut plain[count..]) {
                    Ok(0) => return Ok(Reading::Closed),
                    Ok(decrypted) => count += decrypted,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Reading::Bytes { count, more: came == encrypted.len() })
    }

    /// Writes all of it, or fails.
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.socket.write_all(bytes) };
        tls.writer().write_all(bytes)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

/// The largest record of TLS, with all that is around it.
const RECORD: usize = 17 * 1024;
