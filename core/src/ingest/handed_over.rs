//! What nodes without a seat hand over (contract §8.9): the frames and replies of the transaction socket, over a connection
//! of consensus P2P. Whoever reaches that port may send, so it has bounds of its own.

use super::{
    Submitter,
    connection::{self, Shared},
    intake::Intake,
};
use crate::{
    config::IngestParameters, deadline::timeout, env::BoxStream, framing::Framing,
    types::MAX_BLOCK_TRANSACTION_BYTES,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Nodes of a class that hand over at the same time.
const CONNECTIONS: usize = 2;

/// Bytes of their frames that are not stored yet.
const BUFFERED_BYTES: usize = MAX_BLOCK_TRANSACTION_BYTES + (1 << 20);

/// Every frame fits into that memory.
const FRAMING: Framing = Framing {
    limit_bytes: BUFFERED_BYTES,
    ..Framing::TRANSACTIONS
};

/// Time for which a refusal is written.
const PATIENCE: Duration = Duration::from_millis(100);

/// Takes what nodes hand over.
pub(crate) struct HandedOver {
    /// Nodes that are or were members.
    members: Class,
    /// Nodes whose epochs this one does not keep, and strangers: they take no place from members.
    others: Class,
}

/// Nodes that share places and memory.
struct Class {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

impl HandedOver {
    pub fn new(intake: &Intake, parameters: &IngestParameters) -> Self {
        let class = || Class {
            shared: Arc::new(Shared {
                intake: intake.clone(),
                submitter: Submitter::Node,
                framing: FRAMING,
                memory: Arc::new(Semaphore::new(BUFFERED_BYTES)),
                parameters: parameters.clone(),
            }),
            places: Arc::new(Semaphore::new(CONNECTIONS)),
        };
        Self {
            members: class(),
            others: class(),
        }
    }

    /// Serves a node until it closes the connection, and for no longer than a frame may take, because others wait for its
    /// place. `is_known`: a committee that this node keeps has its network key.
    pub async fn serve(&self, stream: BoxStream, is_known: bool) {
        match is_known {
            true => self.members.serve(stream).await,
            false => self.others.serve(stream).await,
        }
    }
}

impl Class {
    async fn serve(&self, stream: BoxStream) {
        match self.places.clone().try_acquire_owned() {
            Ok(_place) => {
                let longest = self.shared.limit();
                timeout(longest, connection::serve(self.shared.clone(), stream)).await;
            }
            Err(_) => {
                let error =
                    format!("{CONNECTIONS} nodes hand over their transactions, try again later");
                connection::refuse(stream, error, PATIENCE).await;
            }
        }
    }
}
