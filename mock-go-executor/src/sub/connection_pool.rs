//! The pool of connections of the old transport: a bounded number, taken in the order in which they were handed back.

use super::old_transport::Connection;
use metanode_core::{env::Network, types::Address};
use std::{
    collections::VecDeque,
    io,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The connections of one Sub.
pub(super) struct ConnectionPool {
    network: Arc<dyn Network>,
    address: Address,
    idle: Mutex<VecDeque<Connection>>,
    /// One per connection that may be taken.
    free: Semaphore,
}

/// A place in the pool, for one connection.
pub(super) struct Place<'a> {
    pool: &'a ConnectionPool,
    _permit: Option<SemaphorePermit<'a>>,
}

impl ConnectionPool {
    pub fn new(network: Arc<dyn Network>, address: Address, connections: NonZeroU32) -> Self {
        Self {
            network,
            address,
            idle: Mutex::default(),
            free: Semaphore::new(connections.get() as usize),
        }
    }

    /// Waits while all connections are taken.
    pub async fn place(&self) -> Place<'_> {
        let permit = self.free.acquire().await;
        Place {
            pool: self,
            _permit: permit.ok(), // it is never closed
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        // What a panic left is not read: it ends the process.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// The connection that was handed back first, if there is one.
    pub fn take_idle(&self) -> Option<Connection> {
        self.pool.idle().pop_front()
    }

    /// A new connection.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    pub async fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.pool.network.as_ref(), &self.pool.address).await
    }

    /// Hands a connection back to the pool.
    pub fn hand_back(self, connection: Connection) {
        self.pool.idle().push_back(connection);
    }
}
