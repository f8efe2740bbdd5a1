//! What a stranger does at the port at which nodes talk to each other. It knows what is public: the chain, the committees,
//! and what nodes send each other before it is encrypted. It has no key of a member.

use super::{Act, Ended, below, sniffer::Sniffer};
use crate::net::HostId;
use metanode_core::{
    consensus::protocol::{self, PeerRequest, PeerResponse, Purpose},
    env::{BoxStream, EventSink},
    framing::{Decoder, read_frame, write_frame},
    peers::{SecureStream, Sessions, SharedRandom},
    types::{
        AuthorityIndex, BlockDigest, BlockRef, Chain, CommitIndex, Committee, Encryption, Epoch,
        NetworkKeyPair, Round,
    },
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Requests that it sends without reading an answer.
const UNREAD_REQUESTS: usize = 50;

/// A committee, and the index in it of the validator on a host.
type Seat = (Committee, AuthorityIndex);

/// What everybody knows.
pub(crate) struct Public {
    pub chain: Chain,
    pub encryption: Encryption,
    /// `None` if it is not a member in that epoch.
    pub committee: Box<dyn Fn(Epoch, HostId) -> Option<Seat> + Send + Sync>,
}

/// Whom a stranger calls.
#[derive(Clone, Copy)]
pub(super) struct Victim<'a> {
    pub host: HostId,
    pub public: &'a Public,
    /// What is done to it; anything, if there is none.
    pub act: Option<Act>,
    pub overheard: &'a Sniffer,
}

/// Nobody reads what a stranger encrypts.
struct Unwitnessed;

impl EventSink for Unwitnessed {
    fn emit(&self, _: metanode_core::env::Event) {}
}

/// One connection.
pub(super) async fn call(
    mut stream: BoxStream,
    victim: Victim<'_>,
    random: &mut ChaCha8Rng,
) -> Result<(), Ended> {
    let act = victim.act.unwrap_or_else(|| match below(random, 3) {
        0 => Act::Flood,
        1 => Act::ClaimSeat,
        _ => Act::RepeatGreeting,
    });
    if act == Act::RepeatGreeting {
        let Some(hello) = victim.overheard.newest(victim.host) else {
            return Ok(());
        };
        // The greeting of a member, again. What follows cannot be encrypted without its key.
        stream.write_all(&hello).await?;
        let mut welcome = [0; 1_024];
        let _ = stream.read(&mut welcome).await?;
        if below(random, 2) == 0 {
            stream.write_all(&[0, 20]).await?;
            stream.write_all(&[7; 20]).await?;
        }
        return std::future::pending().await;
    }
    let epoch = match below(random, 2) {
        0 => Epoch(0),
        _ => Epoch(below(random, 4)),
    };
    let Some((mut stream, own)) = greet(stream, epoch, act, victim, random).await? else {
        return Ok(());
    };
    let purpose = match below(random, 4) {
        // Own blocks are for subscribers, everything else for queries.
        0 => Purpose::Subscribe { after: Round(0) },
        1 if act != Act::Flood => Purpose::HandOver,
        _ => Purpose::Query,
    };
    write_frame(&mut stream, &protocol::frame(&purpose)?).await?;
    match below(random, 3) {
        _ if purpose != Purpose::Query => while stream.read(&mut [0; 4_096]).await? > 0 {},
        0 | 1 => take_all(&mut stream).await?,
        _ => ask_much(&mut stream, own, random).await?,
    }
    std::future::pending().await
}

/// Greets with a key of nobody, and may say that it is a member.
async fn greet(
    stream: BoxStream,
    epoch: Epoch,
    act: Act,
    victim: Victim<'_>,
    random: &mut ChaCha8Rng,
) -> Result<Option<(SecureStream<BoxStream>, AuthorityIndex)>, Ended> {
    let public = victim.public;
    let Some((committee, peer)) = (public.committee)(epoch, victim.host) else {
        return Ok(None);
    };
    let claimed = AuthorityIndex(below(random, committee.size() as u64) as u16);
    let mut seed = [0; 32];
    random.fill_bytes(&mut seed);
    let sessions = Sessions::new(
        public.chain,
        Arc::new(committee),
        (act == Act::ClaimSeat).then_some(claimed),
        NetworkKeyPair::from_seed(public.encryption, &seed),
        SharedRandom::new(ChaCha8Rng::seed_from_u64(random.next_u64())),
        Arc::new(Unwitnessed),
    );
    let (stream, _) = sessions.connect(stream, peer).await?;
    Ok(Some((stream, claimed)))
}

/// Asks for everything, and for what is in it, again and again.
async fn take_all(stream: &mut SecureStream<BoxStream>) -> Result<(), Ended> {
    let commits = PeerRequest::Commits {
        from: CommitIndex(1),
        to: CommitIndex(u32::MAX),
    };
    let mut decoder = Decoder::new(protocol::FRAMING);
    let mut request = commits.clone();
    loop {
        write_frame(stream, &protocol::frame(&request)?).await?;
        let Some(body) = read_frame(stream, &mut decoder).await? else {
            return Ok(());
        };
        request = match protocol::parse(&body)? {
            PeerResponse::Commits { further_voters, .. } if !further_voters.is_empty() => {
                PeerRequest::Blocks(further_voters)
            }
            _ => commits.clone(),
        };
    }
}

/// Asks without reading an answer: for blocks that do not exist, for one block many times.
async fn ask_much(
    stream: &mut SecureStream<BoxStream>,
    author: AuthorityIndex,
    random: &mut ChaCha8Rng,
) -> Result<(), Ended> {
    let unknown = BlockRef {
        round: Round(random.next_u32()),
        author: AuthorityIndex(random.next_u32() as u16),
        digest: BlockDigest([7; 32]),
    };
    for _ in 0..UNREAD_REQUESTS {
        let request = match below(random, 3) {
            0 => PeerRequest::Blocks(vec![unknown; 1 + below(random, 1_000) as usize]),
            1 => PeerRequest::Commits {
                from: CommitIndex(random.next_u32()),
                to: CommitIndex(u32::MAX),
            },
            _ => PeerRequest::NewestBlockOf(author),
        };
        write_frame(stream, &protocol::frame(&request)?).await?;
    }
    Ok(())
}
