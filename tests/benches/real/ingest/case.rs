//! What is measured, and how a case is named on the command line of its processes.

use std::{fmt, net::SocketAddr, str::FromStr};

/// How transactions come to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Channel of batches and the transaction socket, at a Unix path.
    Unix,
    /// The same at a TCP address.
    Tcp,
    /// The old transport and its pool. Callers use the pool themselves: there is no channel.
    OldPool { pause_after_write_ms: u64 },
}

/// Who waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// Nobody waits for a reply. On the old transport the connection is handed back right after the write.
    Forgotten,
    /// Each batch is answered after the sync of the journal.
    Awaited,
}

/// One case, of which both processes get a copy.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub way: Way,
    pub replies: Replies,
    pub workers: u32,
    /// Batches in the channel.
    pub queue: u32,
    /// Transactions of a batch.
    pub batch: u32,
    /// Batches per second; 0 for as many as are taken.
    pub per_second: u32,
    /// Where the node listens, unless it is a Unix path.
    pub tcp: SocketAddr,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("unix"),
            Self::Tcp => f.write_str("tcp"),
            Self::OldPool {
                pause_after_write_ms,
            } => write!(f, "{pause_after_write_ms}"),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            way,
            replies,
            workers,
            queue,
            batch,
            per_second,
            tcp,
        } = self;
        let is_awaited = u8::from(*replies == Replies::Awaited);
        write!(
            f,
            "{way},{is_awaited},{workers},{queue},{batch},{per_second},{tcp}"
        )
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields: Vec<_> = text.split(',').collect();
        let [way, is_awaited, workers, queue, batch, per_second, tcp] = fields[..] else {
            return Err(format!("expected seven fields, found `{text}`"));
        };
        let number = |field: &str| match field.parse::<u32>() {
            Ok(number) => Ok(number),
            Err(e) => Err(format!("`{field}`: {e}")),
        };
        Ok(Self {
            way: match way {
                "unix" => Way::Unix,
                "tcp" => Way::Tcp,
                pause => Way::OldPool {
                    pause_after_write_ms: number(pause)?.into(),
                },
            },
            replies: match is_awaited {
                "1" => Replies::Awaited,
                _ => Replies::Forgotten,
            },
            workers: number(workers)?,
            queue: number(queue)?,
            batch: number(batch)?,
            per_second: number(per_second)?,
            tcp: tcp.parse().map_err(|e| format!("`{tcp}`: {e}"))?,
        })
    }
}
