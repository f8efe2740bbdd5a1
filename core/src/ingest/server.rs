//! The listener of the transaction socket: a task per client, so many clients at a time.

use super::{
    Sender,
    connection::{self, Shared},
    intake::Intake,
};
use crate::{
    config::IngestParameters,
    env::{BoxListener, TaskMonitor},
    tasks::Tasks,
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tracing::warn;

/// Time for which the listener waits when the operating system accepts no connection (too many open files), and for
/// which it writes a refusal.
const PAUSE: Duration = Duration::from_millis(100);

/// The transaction socket of a node.
pub(crate) struct Server {
    pub monitor: Arc<dyn TaskMonitor>,
    pub intake: Intake,
    pub parameters: IngestParameters,
}

impl Server {
    /// Serves clients for ever.
    pub async fn serve(self, listener: BoxListener) -> Infallible {
        let tasks = Tasks::new(self.monitor);
        let most = self.parameters.max_connections;
        let free = Arc::new(Semaphore::new(most as usize));
        let shared = Arc::new(Shared {
            intake: self.intake,
            sender: Sender::Client,
            memory: Arc::new(Semaphore::new(self.parameters.max_buffered_bytes as usize)),
            parameters: self.parameters,
        });
        loop {
            let stream = match listener.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    warn!(%error, "cannot accept a connection of the transaction socket; trying again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = free.clone().try_acquire_owned() else {
                let error = format!("{most} clients are connected, no more are served");
                connection::refuse(stream, error, PAUSE).await;
                continue;
            };
            let shared = shared.clone();
            tasks.spawn(async move {
                connection::serve(shared, stream).await;
                drop(place);
            });
        }
    }
}
