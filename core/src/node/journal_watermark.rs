//! How a node that does not deliver empties its journal: it asks the executor for W while commits contain something of it.

use crate::{executor::ExecutorClient, ingest::Journal};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tracing::debug;

/// Asks for ever, at an interval, and only while the answer can remove something.
pub(super) async fn follow(
    client: Arc<ExecutorClient>,
    journal: Arc<Journal>,
    interval_ms: u64,
) -> Infallible {
    loop {
        journal.awaits_execution().await;
        tokio::time::sleep(Duration::from_millis(interval_ms)).await;
        match client.watermark().await {
            Ok(watermark) => journal.executed(watermark),
            Err(error) => debug!(%error, "cannot query the watermark to empty the journal"),
        }
    }
}
