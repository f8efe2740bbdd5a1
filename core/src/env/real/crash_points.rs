//! Crash points of a process that nobody ends on purpose.

use crate::env::{CrashPoint, CrashPoints};
use async_trait::async_trait;

/// Goes on, whatever is reached.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCrashPoints;

#[async_trait]
impl CrashPoints for NoCrashPoints {
    async fn reach(&self, _: CrashPoint) {}
}
