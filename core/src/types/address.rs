//! Addresses of sockets, contract §2.

use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};
use thiserror::Error;

/// Where a socket listens: `tcp://IP:PORT`, `unix:///path`, a bare `/path` (Unix) or `IP:PORT` (TCP).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
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
