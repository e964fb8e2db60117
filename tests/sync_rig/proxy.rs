//! A TCP proxy in front of the backend that can be cut, and that can swallow answers after the server applied.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Proxy {
    pub address: SocketAddr,
    switch: watch::Sender<bool>,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    /// So many answers to writes are still to be lost.
    lose_answers: AtomicU64,
    lost: AtomicU64,
    closed: AtomicBool,
}

impl Proxy {
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (switch, on) = watch::channel(true);
        let faults = Arc::new(Faults::default());
        tokio::spawn(serve(listener, address, to, on, Arc::clone(&faults)));
        Self { address, switch, faults }
    }

    /// Nothing listens any more, and what was open is closed.
    pub fn cut(&self) {
        self.switch.send_replace(false);
        while !self.faults.closed.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }

    pub fn restore(&self) {
        self.switch.send_replace(true);
    }

    /// The next `count` answers to writes are lost after the server applied them.
    pub fn lose_answers(&self, count: u64) {
        self.faults.lose_answers.store(count, Ordering::SeqCst);
    }

    pub fn lost(&self) -> u64 {
        self.faults.lost.load(Ordering::SeqCst)
    }
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    to: SocketAddr,
    mut on: watch::Receiver<bool>,
    faults: Arc<Faults>,
) {
    let mut listener = Some(listener);
    loop {
        if *on.borrow_and_update() {
            if listener.is_none() {
                listener = TcpListener::bind(address).await.ok();
            }
            faults.closed.store(false, Ordering::SeqCst);
        } else {
            listener = None;
            faults.closed.store(true, Ordering::SeqCst);
        }
        let Some(open) = &listener else {
            if on.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            changed = on.changed() => if changed.is_err() { return },
            accepted = open.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let (mut off, faults) = (on.clone(), Arc::clone(&faults));
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(client, to, faults) => {}
                        _ = off.wait_for(|on| !on) => {}
                    }
                });
            }
        }
    }
}

async fn pass(mut client: TcpStream, to: SocketAddr, faults: Arc<Faults>) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut doomed = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let is_write = up.starts_with(b"PUT ") || up.starts_with(b"DELETE ");
                let take = |left: u64| left.checked_sub(1);
                if is_write && faults.lose_answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
                    doomed = true;
                }
                if to_server.write_all(&up[..count]).await.is_err() {
                    return;
                }
            }
            read = from_server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                if doomed {
                    // The server answered, so it applied; nobody will hear of it.
                    faults.lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if to_client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
