//! The tasks that send what is in the channel of batches, over the transport of the configuration.

use super::{
    config::SubConfig,
    counts::Counts,
    old_client::OldClient,
    queue::{Batches, Queue, Queued, queue},
    worker::Worker,
};
use metanode_core::{env::Env, tasks::Tasks};
use std::sync::{Arc, Mutex};
use tokio::{sync::Notify, task::JoinHandle};

/// The channel of batches, and the tasks that empty it. They end when the channel is closed and all of it is sent.
pub struct Senders {
    pub batches: Batches,
    pub tasks: Vec<JoinHandle<()>>,
}

impl Senders {
    /// Starts as many tasks as the configuration has workers.
    #[must_use]
    pub fn start(env: &Env, config: &SubConfig, tasks: &Tasks) -> Self {
        let SubConfig { limits, .. } = config;
        let (batches, queue) = queue(limits);
        batches.measure(env);
        let address = &config.transaction_socket_path;
        let counts = Counts::measured(env);
        let worker = || Worker {
            env: env.clone(),
            address: address.clone(),
            limits: limits.clone(),
            queue: queue.clone(),
            counts: counts.clone(),
            again: Mutex::default(),
            refilled: Notify::new(),
        };
        let old = config
            .old_transport
            .map(|old| Arc::new(OldClient::new(env, address.clone(), old, limits)));
        let start = |_| match &old {
            None => tasks.spawn(worker().run()),
            Some(client) => tasks.spawn(send_all(client.clone(), queue.clone())),
        };
        Self {
            batches,
            tasks: (0..limits.workers.get()).map(start).collect(),
        }
    }
}

async fn send_all(client: Arc<OldClient>, queue: Queue) {
    while let Some(Queued {
        batch,
        memory: _memory,
    }) = queue.next().await
    {
        client.send(batch).await;
    }
}
