//! Who may talk to this server at all: host names, origins, the token.
//!
//! ## Why hosts and origins are checked
//!
//! A web page may send requests to loopback. Bound to loopback, we answer only to loopback names (a page's own name,
//! rebound to 127.0.0.1, is not one) and only to pages that come from there; there are no CORS headers in any case.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, StatusCode, Uri, header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    answer::{self, Answer},
    request::Parameters,
};

pub(in crate::server) struct Guard {
    bound: IpAddr,
    token: Option<[u8; 32]>,
}

impl Guard {
    pub(in crate::server) fn new(bound: SocketAddr, token: Option<&SecretString>) -> Self {
        Self { bound: bound.ip(), token: token.map(|token| Sha256::digest(token.expose_secret()).into()) }
    }

    /// Refuses names and origins that are not this machine's, while bound to loopback.
    pub(super) fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Answer> {
        if !self.bound.is_loopback() {
            return Ok(());
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let Some(host) = uri.authority().map(|authority| authority.as_str()).or(host) else {
            return Err(answer::bad_request("A request names its host"));
        };
        if !self.is_ours(host) {
            let message = format!("`{host}` is not a name of this server; it answers to loopback names only");
            return Err(answer::error(StatusCode::FORBIDDEN, &message));
        }
        match headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("")) {
            Some(origin) if !origin.split_once("://").is_some_and(|(_, host)| self.is_ours(host)) => {
                Err(answer::error(StatusCode::FORBIDDEN, "Pages of other sites may not use this server"))
            }
            _ => Ok(()),
        }
    }

    fn is_ours(&self, authority: &str) -> bool {
        let name = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(""),
            None => authority.rsplit_once(':').map_or(authority, |(name, _)| name),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match name.parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || address == self.bound,
            Err(_) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    /// Asks for the token, where one is set.
    pub(super) fn check_token(&self, headers: &HeaderMap, parameters: &Parameters) -> Result<(), Answer> {
        let Some(token) = &self.token else { return Ok(()) };
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(|value| {
            let (scheme, token) = value.split_once(' ').unwrap_or(("", value));
            if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" }
        });
        match bearer.or_else(|| parameters.get("auth")).or_else(|| parameters.get("access_token")) {
            None => Err(answer::denied()),
            Some(given) if bool::from(Sha256::digest(given)[..].ct_eq(&token[..])) => Ok(()),
            Some(_) => Err(answer::error(StatusCode::UNAUTHORIZED, "Unauthorized request.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_ours() {
        let guard = Guard::new("127.0.0.1:80".parse().unwrap(), None);
        for ours in
            ["localhost", "LOCALHOST:9000", "app.localhost:1", "127.0.0.1", "127.8.9.1:5", "[::1]:80", "localhost."]
        {
            assert!(guard.is_ours(ours), "{ours}");
        }
        for other in
            ["example.com", "localhost.evil.com:80", "10.0.0.1", "[::2]", "", "127.0.0.1.nip.io", "evillocalhost"]
        {
            assert!(!guard.is_ours(other), "{other}");
        }
    }
}
