//! What tests of connections between nodes share.

use super::{Accepted, SecureStream, Sessions, SharedRandom, read_hello};
use crate::{
    env::{BoxStream, Event, EventSink, SessionKeys},
    types::{AuthorityIndex, Chain, Committee, Encryption, Epoch, NetworkKeyPair},
};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

struct Nobody;

impl EventSink for Nobody {
    fn emit(&self, _: Event) {}
    fn on_session(&self, _: &SessionKeys) {}
}

/// The network keys of a member in tests, that of [`TestDag`](crate::dag::test_dag::TestDag) with readable sessions.
pub(crate) fn network_keys(encryption: Encryption, member: u16) -> NetworkKeyPair {
    let seed = [member.to_le_bytes()[0].wrapping_add(1); 32];
    NetworkKeyPair::from_seed(encryption, &seed)
}

/// Sessions for a member of a committee with these keys, or for who is none.
pub(crate) fn sessions(committee: &Arc<Committee>, own: Option<AuthorityIndex>) -> Sessions {
    let member = own.map_or(u16::MAX, |own| own.0);
    let keys = network_keys(Encryption::Readable, member);
    sessions_with(committee, own, keys)
}

pub(super) fn sessions_with(
    committee: &Arc<Committee>,
    own: Option<AuthorityIndex>,
    keys: NetworkKeyPair,
) -> Sessions {
    let seed = u64::from(own.map_or(u16::MAX, |own| own.0));
    let random = SharedRandom::new(ChaCha8Rng::seed_from_u64(seed));
    let committee = committee.clone();
    Sessions::new(
        Chain::default(),
        committee,
        own,
        keys,
        random,
        Arc::new(Nobody),
    )
}

/// The two ends of a session: of a guest, and of the first member, which `listening` is.
pub(crate) async fn connected<S: AsyncRead + AsyncWrite + Unpin>(
    committee: &Arc<Committee>,
    near: DuplexStream,
    mut listening: S,
) -> (SecureStream<BoxStream>, SecureStream<S>) {
    let guest = sessions(committee, None);
    let member = sessions(committee, Some(AuthorityIndex(0)));
    let near: BoxStream = Box::new(near);
    let calling = guest.connect(near, AuthorityIndex(0));
    let answering = async {
        let hello = read_hello(&mut listening).await.unwrap();
        let accepted = member.answer(listening, &hello, Epoch(0)).await.unwrap();
        let Accepted { stream, caller } = accepted;
        assert_eq!(caller.seat, None);
        stream
    };
    let (called, answered) = tokio::join!(calling, answering);
    (called.unwrap().0, answered)
}
