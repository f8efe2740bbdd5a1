//! A client of the transaction socket that is written against the wire alone.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// `Transaction` of contract §3 from this account with this nonce: ToAddress=1, Amount=3, Data=7, Nonce=12, FromAddress=13.
pub fn transfer(sender: u8, nonce: u32, data: usize) -> Vec<u8> {
    let mut bytes = vec![0x0a, 20];
    bytes.extend([0xff; 20]);
    bytes.extend([0x1a, 1, 1]);
    if data > 0 {
        bytes.push(0x3a);
        bytes.extend(varint(data));
        bytes.extend(vec![0; data]);
    }
    bytes.extend([0x62, 4]);
    bytes.extend(nonce.to_be_bytes());
    bytes.extend([0x6a, 20]);
    bytes.extend([sender; 20]);
    bytes
}

pub fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = vec![];
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// `Transactions`.
pub fn batch(transactions: &[Vec<u8>]) -> Vec<u8> {
    let field = |transaction: &Vec<u8>| {
        let header = [&[0x0a], &varint(transaction.len())[..]].concat();
        [header, transaction.clone()].concat()
    };
    transactions.iter().flat_map(field).collect()
}

pub fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&length[..], body].concat()
}

pub struct Client(UnixStream);

impl Client {
    pub fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self(stream))
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub fn reply(&mut self) -> String {
        self.read().unwrap()
    }

    pub fn asks(&mut self, body: &[u8]) -> String {
        self.ask(body).unwrap()
    }

    /// The reply to a frame, or why there is none.
    pub fn ask(&mut self, body: &[u8]) -> io::Result<String> {
        self.0.write_all(&frame(body))?;
        self.read()
    }

    fn read(&mut self) -> io::Result<String> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body)?;
        String::from_utf8(body).map_err(io::Error::other)
    }

    pub fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).unwrap_or(0) == 0
    }
}
