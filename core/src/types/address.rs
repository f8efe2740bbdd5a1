//! Addresses of sockets, contract §2.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};
use thiserror::Error;

/// Where a socket listens: `tcp://IP:PORT`, `unix:///path`, a bare `/path` (Unix) or `IP:PORT` (TCP).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// Where the consensus P2P of a validator listens: `IP:PORT`, `tcp://IP:PORT`, or a multiaddr `/ip4/A.B.C.D/tcp/PORT` or
/// `/ip6/…/tcp/PORT` (contract §2.2). `None` for anything else, also for a scope, which means something on one machine only.
#[must_use]
pub fn parse_p2p_address(text: &str) -> Option<SocketAddr> {
    let Some(protocols) = text.strip_prefix('/') else {
        return match text.parse() {
            Ok(Address::Tcp(address)) => {
                let plain = SocketAddr::new(address.ip(), address.port());
                (plain == address).then_some(plain)
            }
            Ok(Address::Unix(_)) | Err(_) => None,
        };
    };
    let mut parts = protocols.split('/');
    let ip = match (parts.next()?, parts.next()?) {
        ("ip4", ip) => IpAddr::V4(ip.parse().ok()?),
        ("ip6", ip) => IpAddr::V6(ip.parse().ok()?),
        _ => return None,
    };
    let port = match (parts.next()?, parts.next()?, parts.next()) {
        ("tcp", port, None) => port.parse().ok()?,
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// A string that does not parse as an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{value}` is not an address: expected tcp://IP:PORT, unix:///path, /path or IP:PORT")]
pub struct AddressError {
    pub value: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(value: &str) -> Result<Self, AddressError> {
        let error = || AddressError {
            value: value.to_owned(),
        };
        let unix = |path: &str| {
            let absolute = path.len() > 1 && path.starts_with('/') && !path.contains('\0');
            absolute
                .then(|| Self::Unix(PathBuf::from(path)))
                .ok_or_else(error)
        };
        if let Some(path) = value.strip_prefix("unix://") {
            unix(path)
        } else if value.starts_with('/') {
            unix(value)
        } else {
            let socket = value.strip_prefix("tcp://").unwrap_or(value);
            socket.parse().map(Self::Tcp).map_err(|_| error())
        }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(value: String) -> Result<Self, AddressError> {
        value.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(socket) => write!(f, "tcp://{socket}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_contract_parses_and_is_displayed_as_a_url() {
        for (text, printed) in [
            ("tcp://127.0.0.1:80", "tcp://127.0.0.1:80"),
            ("127.0.0.1:80", "tcp://127.0.0.1:80"),
            ("[::1]:80", "tcp://[::1]:80"),
            ("unix:///tmp/a.sock", "unix:///tmp/a.sock"),
            ("/tmp/a.sock_1", "unix:///tmp/a.sock_1"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), printed);
            assert_eq!(printed.parse(), Ok(address));
        }
    }

    #[test]
    fn a_validator_is_reached_at_an_ip_address_and_never_at_a_path() {
        for (text, expected) in [
            ("1.2.3.4:80", Some("1.2.3.4:80")),
            ("tcp://[::1]:80", Some("[::1]:80")),
            ("[fe80::1%1]:80", None),
            ("/ip4/1.2.3.4/tcp/80", Some("1.2.3.4:80")),
            ("/ip6/::1/tcp/80", Some("[::1]:80")),
            ("/ip4/::1/tcp/80", None),
            ("/ip4/1.2.3.4/udp/80", None),
            ("/ip4/1.2.3.4/tcp/80/http", None),
            ("/ip4/1.2.3.4/tcp/65536", None),
            ("/ip4/1.2.3.4", None),
            ("/dns/localhost/tcp/80", None),
            ("/tmp/a.sock", None),
            ("unix:///tmp/a.sock", None),
            ("", None),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(parse_p2p_address(text), expected, "{text}");
        }
    }

    #[test]
    fn any_other_form_is_an_error_that_names_the_value() {
        for text in [
            "",
            "/",
            "tmp/a.sock",
            "unix://a",
            "tcp:///a",
            "tcp://host:80",
            "1.2.3.4",
            "http://1.2.3.4:80",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }
}
