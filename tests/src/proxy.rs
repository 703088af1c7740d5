//! A network between client and bridge that can be cut.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on, as long as there is somewhere to pass them on to.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
}

impl Proxy {
    /// A proxy before `target`.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (target, follow) = watch::channel(Some(target));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, follow.clone()));
            }
        });
        Self { address, target }
    }

    /// Breaks all connections, and every new one.
    pub fn cut(&self) {
        self.target.send_replace(None);
    }

    /// Breaks all connections, and leads new ones there.
    pub fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(Some(target));
    }
}

async fn pass_on(mut client: TcpStream, mut follow: watch::Receiver<Option<SocketAddr>>) {
    let Some(target) = *follow.borrow_and_update() else { return };
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = follow.changed() => {}
    }
}
