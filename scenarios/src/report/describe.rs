//! Parts of a plan as text.

use metanode_sim::plan::{ByzantineStrategy, Member, Span};

/// `5 ms to 31 ms`, or one number if both ends are equal.
#[must_use]
pub fn span(span: Span, unit: impl Fn(u64) -> String) -> String {
    if span.low == span.high {
        unit(span.low)
    } else {
        format!("{} to {}", unit(span.low), unit(span.high))
    }
}

/// A member of a committee.
pub fn member(member: &Member) -> String {
    let Member {
        validator,
        stake,
        key,
    } = *member;
    let stake = (stake != 1).then(|| format!(" with stake {stake}"));
    let key = (key != 0).then(|| format!(" under key {key}"));
    format!(
        "node-{validator}{}{}",
        stake.unwrap_or_default(),
        key.unwrap_or_default()
    )
}

/// What a Byzantine validator does.
#[must_use]
pub const fn strategy(strategy: ByzantineStrategy) -> &'static str {
    match strategy {
        ByzantineStrategy::Equivocating => "sends different blocks to different peers",
        ByzantineStrategy::Withholding => "sends its blocks to some peers only",
        ByzantineStrategy::Invalid => "sends invalid blocks",
        ByzantineStrategy::Forging => "sends blocks that their authors did not sign",
        ByzantineStrategy::Lying => "builds on blocks that do not exist",
        ByzantineStrategy::Flooding => "floods its peers with blocks",
        ByzantineStrategy::Silent => "sends nothing",
        ByzantineStrategy::Program => "follows a program",
    }
}
