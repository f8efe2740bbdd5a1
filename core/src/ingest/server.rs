//! The listeners for transactions: a task per client, so many clients of each listener at a time.

use super::{
    Submitter,
    connection::{self, Shared},
    intake::Intake,
    old_transport,
};
use crate::{
    config::IngestParameters,
    env::{BoxListener, BoxStream, Env, Quantity, TaskMonitor},
    framing::Framing,
    tasks::Tasks,
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tracing::warn;

/// Time for which the listener waits when the operating system accepts no connection (too many open files), and for
/// which it writes a refusal.
const PAUSE: Duration = Duration::from_millis(100);

/// Where a node takes transactions. Clones share intake and memory.
#[derive(Clone)]
pub struct Server {
    monitor: Arc<dyn TaskMonitor>,
    shared: Arc<Shared>,
}

/// What clients of a listener speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The transaction socket: many frames per connection.
    Frames,
    /// The one before it: one request per connection.
    OneRequest,
}

impl Server {
    /// What clients send goes to `intake`, within the bounds of `parameters`.
    #[must_use]
    pub fn new(
        monitor: Arc<dyn TaskMonitor>,
        intake: Intake,
        parameters: IngestParameters,
    ) -> Self {
        let shared = Shared {
            intake,
            submitter: Submitter::Client,
            framing: Framing::TRANSACTIONS,
            memory: Arc::new(Semaphore::new(parameters.max_buffered_bytes as usize)),
            parameters,
        };
        Self {
            monitor,
            shared: Arc::new(shared),
        }
    }

    /// Lets metrics read how much of the memory for large frames is in use.
    pub fn measure(&self, env: &Env) {
        let limit_bytes = self.shared.parameters.max_buffered_bytes;
        let memory = self.shared.memory.clone();
        env.measure(Quantity::IngestBufferedBytes, move || {
            (limit_bytes as usize).saturating_sub(memory.available_permits()) as u64
        });
        env.measure(Quantity::IngestBufferedBytesLimit, move || {
            limit_bytes.into()
        });
    }

    /// Serves the clients of a listener for ever.
    pub async fn serve(self, listener: BoxListener, transport: Transport) -> Infallible {
        let tasks = Tasks::new(self.monitor);
        let most = self.shared.parameters.max_connections;
        let free = Arc::new(Semaphore::new(most as usize));
        loop {
            let stream = match listener.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    warn!(%error, "cannot accept a connection with transactions; trying again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = free.clone().try_acquire_owned() else {
                let error = format!("{most} clients are connected, no more are served");
                transport.refuse(stream, error).await;
                continue;
            };
            let shared = self.shared.clone();
            tasks.spawn(async move {
                match transport {
                    Transport::Frames => connection::serve(shared, stream).await,
                    Transport::OneRequest => old_transport::serve(shared, stream).await,
                }
                drop(place);
            });
        }
    }
}

impl Transport {
    async fn refuse(self, stream: BoxStream, error: String) {
        match self {
            Self::Frames => connection::refuse(stream, error, PAUSE).await,
            Self::OneRequest => old_transport::refuse(stream, error, PAUSE).await,
        }
    }
}
