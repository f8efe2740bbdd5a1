//! One round of questions: all peers at once, each with its own time.

use super::{
    Discovery, Forked,
    ask::{self, NoAnswer, Peer},
    compare::{Answer, Compared},
    fork,
    own::Own,
    pace::Pace,
};
use crate::{
    env::PeerEvent,
    tasks::Tasks,
    types::{BestPeer, ChainPosition, GlobalExecIndex, Standing, StateRoot},
};
use tokio::{sync::mpsc, time::Instant};

/// What is remembered of the rounds before.
pub(super) struct Rounds {
    began: Instant,
    pace: Pace,
    /// The last block whose state roots were compared.
    checked: Option<GlobalExecIndex>,
}

impl Default for Rounds {
    fn default() -> Self {
        Self {
            #[allow(clippy::disallowed_methods)]
            // tokio's clock; under madsim the lint mistakes it for that of std
            began: Instant::now(),
            pace: Pace::default(),
            checked: None,
        }
    }
}

impl Discovery {
    /// Asks all peers, says where the own executor stands, and compares state roots.
    pub(super) async fn round(&self, rounds: &mut Rounds) -> Result<(), Forked> {
        let peers = u16::try_from(self.addresses.len()).unwrap_or(u16::MAX);
        self.env.emit(PeerEvent::Asked { peers });
        let all: Vec<u16> = (0..peers).collect();
        let mut answers = vec![];
        let asking = |peer: Peer| async move { peer.position().await };
        self.ask(&all, asking, |peer, answer| {
            self.heard(peer, answer, &mut answers)
        })
        .await;
        let own = self.own.now().await;
        let compared = Compared {
            peers,
            answers: &answers,
            own: own.executor,
            stored: own.stored,
        };
        let best = compared.best();
        let address = best.and_then(|best| self.addresses.get(usize::from(best.peer)));
        let standing = compared.standing(best.as_ref());
        self.env.emit(PeerEvent::Compared {
            standing,
            peers,
            answered: u16::try_from(answers.len()).unwrap_or(u16::MAX),
            own: own.executor,
            stored: own.stored,
            best,
            address: address.map(ToString::to_string).unwrap_or_default(),
        });
        self.tell_pace(standing, own.executor, best, rounds);
        self.compare_roots(own, &answers, &mut rounds.checked).await
    }

    /// Says how far a node that is behind has to catch up, and how fast it does.
    fn tell_pace(
        &self,
        standing: Standing,
        own: Option<ChainPosition>,
        best: Option<BestPeer>,
        rounds: &mut Rounds,
    ) {
        let (Standing::Behind(_), Some(own), Some(best)) = (standing, own, best) else {
            rounds.pace.stop();
            return;
        };
        let now_ms = u64::try_from(rounds.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let estimate = rounds.pace.behind(now_ms, own.block, best.position.block);
        if let Some(estimate) = estimate {
            self.env.emit(PeerEvent::CatchingUp {
                remaining_blocks: estimate.remaining_blocks,
                blocks_per_second: estimate.blocks_per_second,
                remaining_ms: estimate.remaining_ms,
            });
        }
    }

    fn heard(&self, peer: u16, answer: Result<ChainPosition, NoAnswer>, answers: &mut Vec<Answer>) {
        let address = self.addresses[usize::from(peer)].to_string();
        self.env.emit(match answer {
            Ok(position) => {
                answers.push(Answer { peer, position });
                PeerEvent::Answered {
                    peer,
                    address,
                    position,
                }
            }
            Err(reason) => PeerEvent::Silent {
                peer,
                address,
                reason: reason.to_string(),
            },
        });
    }

    /// Asks these peers at the same time, and passes on every answer when it comes.
    async fn ask<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        peers: &[u16],
        question: impl Fn(Peer) -> F,
        mut heard: impl FnMut(u16, T),
    ) {
        let tasks = Tasks::new(self.env.monitor.clone());
        let (answered, mut answers) = mpsc::channel(peers.len().max(1));
        for peer in peers {
            let address = self.addresses[usize::from(*peer)].clone();
            let asking = question(Peer::new(&self.env, address, &self.rpc));
            let (peer, answered) = (*peer, answered.clone());
            tasks.spawn(async move {
                let answer = asking.await;
                let _ = answered.send((peer, answer)).await; // an error means that the round is over
            });
        }
        drop(answered);
        while let Some((peer, answer)) = answers.recv().await {
            heard(peer, answer);
        }
    }

    /// Compares the state root of the own executor with those of peers, after a block that enough of them have.
    async fn compare_roots(
        &self,
        own: Own,
        answers: &[Answer],
        checked: &mut Option<GlobalExecIndex>,
    ) -> Result<(), Forked> {
        let needed = fork::needed(u16::try_from(self.addresses.len()).unwrap_or(u16::MAX));
        let Some(block) = block_of_all(own, answers, needed) else {
            return Ok(());
        };
        if *checked == Some(block) {
            return Ok(());
        }
        // It may have lost the block.
        let Ok(root) = ask::root(&self.client, block).await else {
            return Ok(());
        };
        let have_it = answers.iter().filter(|it| it.position.block >= block);
        let have_it: Vec<u16> = have_it.map(|answer| answer.peer).collect();
        let mut reported: Vec<StateRoot> = vec![];
        let asking = move |peer: Peer| async move { peer.root(block).await };
        self.ask(&have_it, asking, |_, root| reported.extend(root.ok()))
            .await;
        *checked = Some(block);
        let Some(forked) = fork::other_root(block, root, &reported) else {
            return Ok(());
        };
        let Forked {
            own, other, peers, ..
        } = forked;
        self.env.emit(PeerEvent::RootsDiffer {
            block,
            own,
            other,
            peers,
            needed,
        });
        match peers >= needed {
            true => Err(forked),
            false => Ok(()),
        }
    }
}

/// The last block that the own executor has and as many peers as may prove a fork, or all of them if they are fewer.
fn block_of_all(own: Own, answers: &[Answer], needed: u16) -> Option<GlobalExecIndex> {
    let mut blocks: Vec<_> = answers.iter().map(|answer| answer.position.block).collect();
    blocks.sort_unstable_by(|one, other| other.cmp(one));
    let last = usize::from(needed).min(blocks.len()).checked_sub(1)?;
    let block = own.executor?.block.min(blocks[last]);
    (block > GlobalExecIndex(0)).then_some(block)
}
