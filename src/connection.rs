//! What is known of the connection that a request came by.

use std::net::{IpAddr, Ipv4Addr};

/// Put into the extensions of every request by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The address at its other end.
    pub from: IpAddr,
    /// Whether the other end has shown a certificate of the CA that vouches for clients.
    pub vouched_for: bool,
}

/// A connection of which nothing is known.
impl Default for Connection {
    fn default() -> Self {
        Self { from: IpAddr::V4(Ipv4Addr::UNSPECIFIED), vouched_for: false }
    }
}
