//! The demo's network: a TCP forwarder on loopback between the app and its backend, with a switch.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards connections to the backend while the network is not cut.
#[derive(Debug, Clone)]
pub struct Gateway {
    address: SocketAddr,
    cut: Arc<watch::Sender<bool>>,
}

impl Gateway {
    /// Listens on `preferred` where that port is free, else on any, and forwards to `backend`.
    pub async fn start(preferred: u16, backend: SocketAddr) -> std::io::Result<Self> {
        let listener = match TcpListener::bind(("127.0.0.1", preferred)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind(("127.0.0.1", 0)).await?,
        };
        let address = listener.local_addr()?;
        let cut = Arc::new(watch::Sender::new(false));
        tokio::spawn(accept(listener, backend, Arc::clone(&cut)));
        Ok(Self { address, cut })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts (every open connection breaks, new ones are refused service) or restores the network.
    pub fn set_cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

/// While the network is cut the listener is closed, so that connecting is refused as by a host without the service.
async fn accept(listener: TcpListener, backend: SocketAddr, cut: Arc<watch::Sender<bool>>) {
    let Ok(address) = listener.local_addr() else { return };
    let mut listener = Some(listener);
    let mut state = cut.subscribe();
    loop {
        let is_cut = *state.borrow_and_update();
        match (&listener, is_cut) {
            (Some(_), true) => listener = None,
            (None, false) => listener = TcpListener::bind(address).await.ok(),
            _ => {}
        }
        let incoming = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            accepted = incoming => if let Ok((client, _)) = accepted {
                tokio::spawn(forward(client, backend, cut.subscribe()));
            },
        }
    }
}

async fn forward(mut client: TcpStream, backend: SocketAddr, mut state: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(backend).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        // Broken off, not ended: a server that says goodbye would be another story.
        _ = state.wait_for(|cut| *cut) => drop(client.set_zero_linger()),
    }
}
