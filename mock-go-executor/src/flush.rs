//! The writes of a flush and their order.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlushStep {
    State,
    Blocks,
    Watermark,
}

/// Only the watermark is synced, and it comes last: it makes everything before it durable.
pub(crate) const ORDER: [FlushStep; 3] =
    [FlushStep::State, FlushStep::Blocks, FlushStep::Watermark];
