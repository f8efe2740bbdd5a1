//! The bare loop: writes frames as fast as the socket takes them.

use super::sink::READ_BYTES;
use metanode_core::framing::{Decoder, Framing};
use std::{error::Error, fs, io::Write, os::unix::net::UnixStream, path::Path};

/// Writes the frames of a file, one write for each.
pub fn bare_writer(socket: &Path, frames: &Path) -> Result<(), Box<dyn Error>> {
    let mut decoder = Decoder::new(Framing::BLOCK_STREAM);
    let mut all = vec![];
    for bytes in fs::read(frames)?.chunks(READ_BYTES) {
        decoder.push(bytes);
        while let Some(body) = decoder.next_frame()? {
            all.push(Framing::BLOCK_STREAM.encode_body(&body)?);
        }
    }
    let mut stream = UnixStream::connect(socket)?;
    for frame in all {
        stream.write_all(&frame)?;
    }
    Ok(())
}
