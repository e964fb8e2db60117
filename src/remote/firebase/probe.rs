//! The probe: one cheap read, and a walk along the chain where it fails.
//!
//! On a good day the read alone proves every link, over the connection the other requests use. Only where it could not
//! be sent are name and connection tried on their own, to say which link broke.

use std::net::SocketAddr;

use crate::{
    model::{
        sync_status::LinkFact,
        wire::{Exchange, Link, ReadError},
    },
    remote::{
        Probe,
        firebase::{Firebase, split},
        http::{Failure, Reply, seconds},
        wire::{self, misshapen},
    },
};

impl Firebase {
    pub(crate) async fn probe(&self) -> (Probe, Exchange) {
        let token = match self.credentials.token().await {
            Ok(token) => token,
            Err(message) => {
                let chain = vec![fact(Link::Auth, false, &message)];
                return (Probe { result: Err(ReadError::Unauthorized { message }), chain }, self.no_exchange());
            }
        };
        let url = match self.collections.first() {
            Some(collection) => {
                self.address.collection(&collection.path, &[("orderBy", "\"$key\""), ("limitToFirst", "1")])
            }
            None => self.address.collection("", &[("shallow", "true")]),
        };
        let call = self.get(url, self.http.deadlines.total);
        let (sent, exchange) = self.http.read(call, token.as_ref()).await;
        let mut chain = Vec::new();
        let result = match sent {
            Err(failure) => {
                self.walk(&failure, &mut chain).await;
                Err(ReadError::Unreachable(failure.trouble))
            }
            Ok(reply) => {
                self.arrived(&reply, &exchange, &mut chain);
                let dialect = self.dialect(token.as_ref());
                let judged =
                    wire::text(Ok(reply), dialect).and_then(|text| split::children(&text).map(drop).map_err(misshapen));
                judge(&judged, &mut chain);
                judged
            }
        };
        let probe = Probe { result, chain };
        match token {
            Some(token) => (crate::remote::redact_probe(probe, &token), exchange),
            None => (probe, exchange),
        }
    }

    /// Everything up to HTTP is proved by an answer, whatever it says.
    fn arrived(&self, reply: &Reply, exchange: &Exchange, chain: &mut Vec<LinkFact>) {
        let host = self.address.base().host_str().unwrap_or_default();
        chain.push(fact(Link::Dns, true, host));
        chain.push(fact(Link::Tcp, true, &reply.peer.map_or_else(String::new, |peer| peer.to_string())));
        if self.address.base().scheme() == "https" {
            chain.push(fact(Link::Tls, true, "certificate accepted"));
        }
        let waited = exchange.round_trip.map_or_else(String::new, |trip| format!(" in {} ms", trip.as_millis()));
        chain.push(fact(Link::Http, true, &format!("{}{waited}", reply.status)));
    }

    /// Name and connection one by one; then what the failed request itself said.
    async fn walk(&self, failure: &Failure, chain: &mut Vec<LinkFact>) {
        let base = self.address.base();
        let (host, port) = (base.host_str().unwrap_or_default(), base.port_or_known_default().unwrap_or(443));
        let broken = &failure.trouble;
        if failure.began {
            chain.push(fact(Link::Dns, true, host));
            chain.push(fact(Link::Tcp, true, &format!("port {port}")));
            if base.scheme() == "https" {
                chain.push(fact(Link::Tls, broken.link != Link::Tls, "certificate accepted"));
            }
            chain.retain(|known| known.link < broken.link);
            chain.push(fact(broken.link, false, &broken.message));
            return;
        }
        let within = self.http.deadlines.connect;
        let name = (host.trim_matches(['[', ']']), port);
        let addresses: Vec<SocketAddr> = match tokio::time::timeout(within, tokio::net::lookup_host(name)).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(_)) => return chain.push(fact(Link::Dns, false, "name not resolved")),
            Err(_) => return chain.push(fact(Link::Dns, false, &format!("no answer within {}", seconds(within)))),
        };
        let Some(first) = addresses.first() else {
            return chain.push(fact(Link::Dns, false, "the name has no address"));
        };
        chain.push(fact(Link::Dns, true, &first.ip().to_string()));
        match tokio::time::timeout(within, tokio::net::TcpStream::connect(addresses.as_slice())).await {
            Ok(Ok(stream)) => {
                let peer = stream.peer_addr().map_or_else(|_| first.to_string(), |peer| peer.to_string());
                chain.push(fact(Link::Tcp, true, &peer));
            }
            Ok(Err(error)) => return chain.push(fact(Link::Tcp, false, &error.kind().to_string())),
            Err(_) => return chain.push(fact(Link::Tcp, false, &format!("no answer within {}", seconds(within)))),
        }
        // It works now and did not a moment ago: the request's own word stands.
        chain.retain(|known| known.link < broken.link);
        chain.push(fact(broken.link, false, &broken.message));
    }
}

/// Shape and auth, from what the answer meant.
fn judge<T>(judged: &Result<T, ReadError>, chain: &mut Vec<LinkFact>) {
    match judged {
        Ok(_) => {
            chain.push(fact(Link::Shape, true, "JSON"));
            chain.push(fact(Link::Auth, true, "accepted"));
        }
        Err(ReadError::Unauthorized { message }) => {
            chain.push(fact(Link::Shape, true, "JSON"));
            chain.push(fact(Link::Auth, false, message));
        }
        Err(ReadError::Refused { status: 401 | 403, message }) => {
            chain.push(fact(Link::Shape, true, "JSON"));
            chain.push(fact(Link::Auth, false, message));
        }
        Err(ReadError::Refused { status, message }) => {
            chain.push(fact(Link::Shape, false, &format!("{status}: {message}")));
        }
        Err(ReadError::Later { status, message, .. }) => {
            chain.retain(|known| known.link != Link::Http);
            chain.push(fact(Link::Http, false, &format!("{status}: {message}")));
        }
        Err(ReadError::Unreachable(trouble) | ReadError::Portal(trouble)) => {
            chain.retain(|known| known.link < trouble.link);
            chain.push(fact(trouble.link, false, &trouble.message));
        }
    }
}

fn fact(link: Link, ok: bool, detail: &str) -> LinkFact {
    LinkFact { link, ok, detail: detail.to_owned() }
}
