//! The scheduler of requests for missing ancestors. Pure. No faulty peer can prevent the node from fetching a block
//! that an honest peer has.
//!
//! A block is requested from one peer at a time and from every peer eventually, first from the authors of its
//! dependants: if honest, they have it. A peer that does not answer, or only byte by byte, does not delay requests to
//! others; and ancestors that no peer has, because they do not exist, are requested at growing intervals.

use super::protocol::MAX_BLOCKS_PER_REQUEST;
use crate::types::{AuthorityIndex, BlockRef};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Missing ancestors, each with its holders: the authors of the blocks that depend on it.
pub(super) type Missing = BTreeMap<BlockRef, BTreeSet<AuthorityIndex>>;

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FetchRequest {
    pub peer: AuthorityIndex,
    pub blocks: Vec<BlockRef>,
}

/// The delays of the scheduler.
#[derive(Clone, Copy, Debug)]
pub(super) struct FetchTiming {
    /// Time for which a block must be missing before it is requested, because most missing blocks arrive by themselves.
    pub delay: Duration,
    /// Time for which a block that was found is not requested again, because it must be accepted first.
    pub settling: Duration,
    /// Time after which a request is overdue and the block is requested from another peer as well. It doubles for each
    /// overdue request, up to [`Self::most_patience`].
    pub patience: Duration,
    pub most_patience: Duration,
    /// Maximum pause after all peers were asked without success. The pause starts with [`Self::delay`] and doubles.
    pub longest: Duration,
}

/// The missing blocks and the requests in flight.
pub(super) struct FetchScheduler {
    timing: FetchTiming,
    peers: Vec<Peer>,
    wanted: BTreeMap<BlockRef, Wanted>,
    /// Rotates the order of otherwise equal peers with every request.
    turn: usize,
}

struct Peer {
    index: AuthorityIndex,
    /// A request to it is in flight.
    busy: bool,
    /// It is a holder of a block of its last request.
    owes: bool,
    /// Its last answer was missing, or lacked blocks of which it is a holder.
    unhelpful: bool,
}

struct Wanted {
    holders: BTreeSet<AuthorityIndex>,
    /// The peers that were asked in this round of requests, which ends when all were asked.
    asked: BTreeSet<AuthorityIndex>,
    /// The peers with a request in flight, each with the time at which it becomes overdue.
    in_flight: BTreeMap<AuthorityIndex, Duration>,
    was_asked: bool,
    not_before: Duration,
    /// The next pause after all peers were asked.
    pause: Duration,
}

impl Wanted {
    /// Whether a request is in flight that is not overdue. One to the author does not count if there are other holders:
    /// a faulty author may withhold its own blocks.
    fn is_on_its_way(&self, author: AuthorityIndex, now: Duration) -> bool {
        let only_author_holds_it = self.holders.iter().all(|holder| *holder == author);
        let mut asked = self.in_flight.iter().filter(|(_, until)| **until > now);
        asked.any(|(peer, _)| *peer != author || only_author_holds_it)
    }

    /// The time after which the next request becomes overdue.
    fn patience(&self, timing: &FetchTiming, now: Duration) -> Duration {
        let overdue = self.in_flight.values().filter(|until| **until <= now);
        overdue.fold(timing.patience, |patience, _| {
            (patience * 2).min(timing.most_patience)
        })
    }
}

impl FetchScheduler {
    #[must_use]
    pub fn new(peers: impl IntoIterator<Item = AuthorityIndex>, timing: FetchTiming) -> Self {
        let peer = |index| Peer {
            index,
            busy: false,
            owes: false,
            unhelpful: false,
        };
        Self {
            timing,
            peers: peers.into_iter().map(peer).collect(),
            wanted: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Sets the missing blocks.
    pub fn update(&mut self, missing: &Missing, now: Duration) {
        self.wanted.retain(|name, _| missing.contains_key(name));
        for (name, holders) in missing {
            let wanted = self.wanted.entry(*name).or_insert_with(|| Wanted {
                holders: BTreeSet::new(),
                asked: BTreeSet::new(),
                in_flight: BTreeMap::new(),
                was_asked: false,
                not_before: now + self.timing.delay,
                pause: self.timing.delay,
            });
            // A new holder has the block now, even if it did not when it was asked.
            for holder in holders.difference(&wanted.holders) {
                wanted.asked.remove(holder);
                if wanted.was_asked {
                    wanted.not_before = wanted.not_before.min(now);
                    wanted.pause = self.timing.delay;
                }
            }
            wanted.holders.clone_from(holders);
        }
    }

    /// The requests to send now. [`Self::answered`] must be called for each.
    pub fn due(&mut self, now: Duration) -> Vec<FetchRequest> {
        if self.peers.iter().all(|peer| peer.busy) {
            return vec![];
        }
        let mut requests: Vec<Vec<BlockRef>> = vec![vec![]; self.peers.len()];
        let mut owed = vec![false; self.peers.len()];
        // Holders first, so that blocks that do not exist do not occupy the peers.
        for holders_only in [true, false] {
            for (name, wanted) in &mut self.wanted {
                if wanted.is_on_its_way(name.author, now) || wanted.not_before > now {
                    continue;
                }
                let count = self.peers.len();
                let free = self.peers.iter().enumerate().filter(|(position, peer)| {
                    let should_have = wanted.holders.contains(&peer.index) && !peer.unhelpful;
                    let not_full = requests[*position].len() < MAX_BLOCKS_PER_REQUEST;
                    let fits = !peer.busy && not_full && !wanted.asked.contains(&peer.index);
                    fits && (should_have || !holders_only)
                });
                let best = free.min_by_key(|(position, peer)| {
                    let holds = wanted.holders.contains(&peer.index);
                    let after_others = (position + count - self.turn % count) % count;
                    (
                        peer.unhelpful,
                        !holds,
                        peer.index == name.author,
                        after_others,
                    )
                });
                if let Some((position, peer)) = best {
                    requests[position].push(*name);
                    wanted.asked.insert(peer.index);
                    let until = now + wanted.patience(&self.timing, now);
                    wanted.in_flight.insert(peer.index, until);
                    wanted.was_asked = true;
                    owed[position] |= wanted.holders.contains(&peer.index);
                }
            }
        }
        let mut due = vec![];
        for ((peer, blocks), owes) in self.peers.iter_mut().zip(requests).zip(owed) {
            if !blocks.is_empty() {
                (peer.busy, peer.owes) = (true, owes);
                let peer = peer.index;
                due.push(FetchRequest { peer, blocks });
            }
        }
        self.turn += due.len();
        due
    }

    /// Ends a request: `found` are the blocks of the answer, `None` if there was none.
    pub fn answered(
        &mut self,
        request: &FetchRequest,
        found: Option<&BTreeSet<BlockRef>>,
        now: Duration,
    ) {
        for name in &request.blocks {
            let Some(wanted) = self.wanted.get_mut(name) else {
                continue;
            };
            wanted.in_flight.remove(&request.peer);
            if found.is_some_and(|found| found.contains(name)) {
                wanted.not_before = now + self.timing.settling;
                wanted.asked.clear();
                continue;
            }
            if wanted.asked.len() == self.peers.len() {
                wanted.asked.clear();
                wanted.not_before = now + wanted.pause;
                wanted.pause = (wanted.pause * 2).min(self.timing.longest);
            }
        }
        let peers = self.peers.iter_mut();
        for peer in peers.filter(|peer| peer.index == request.peer) {
            peer.busy = false;
            peer.unhelpful = found.is_none_or(|found| {
                // A peer that is not a holder is not unhelpful if it lacks the blocks.
                found.is_empty() && (peer.owes || peer.unhelpful)
            });
        }
    }

    /// The next time at which a request may become due without further calls. `None` if there is no such time.
    #[must_use]
    pub fn next_due(&self, now: Duration) -> Option<Duration> {
        let waiting = self.wanted.values();
        let times = waiting.flat_map(|wanted| {
            let overdue = wanted.in_flight.values().copied();
            overdue.chain([wanted.not_before])
        });
        // Requests that are due already wait for a peer, not for time.
        times.filter(|time| *time > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{BlockDigest, Round};

    const A: AuthorityIndex = AuthorityIndex(0);
    const B: AuthorityIndex = AuthorityIndex(1);
    const LIAR: AuthorityIndex = AuthorityIndex(2);

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn fetching() -> FetchScheduler {
        let timing = FetchTiming {
            delay: ms(100),
            settling: ms(500),
            patience: ms(400),
            most_patience: ms(700),
            longest: ms(1_000),
        };
        FetchScheduler::new([A, B, LIAR], timing)
    }

    fn block(round: u32, author: AuthorityIndex) -> BlockRef {
        BlockRef {
            round: Round(round),
            author,
            digest: BlockDigest([1; 32]),
        }
    }

    fn missing<const N: usize>(list: [(BlockRef, &[AuthorityIndex]); N]) -> Missing {
        let of = list.into_iter();
        of.map(|(name, holders)| (name, holders.iter().copied().collect()))
            .collect()
    }

    fn request(peer: AuthorityIndex, blocks: &[BlockRef]) -> FetchRequest {
        let blocks = blocks.to_vec();
        FetchRequest { peer, blocks }
    }

    #[test]
    fn holders_are_asked_before_the_author() {
        let (mut scheduler, withheld) = (fetching(), block(7, LIAR));
        scheduler.update(&missing([(withheld, &[B, LIAR])]), ms(0));
        assert_eq!(scheduler.due(ms(99)), []);
        assert_eq!(scheduler.next_due(ms(99)), Some(ms(100)));
        assert_eq!(scheduler.due(ms(100)), [request(B, &[withheld])]);
        assert_eq!(scheduler.due(ms(100)), [], "one at a time");
    }

    #[test]
    fn a_peer_that_never_answers_does_not_delay_other_requests() {
        let mut scheduler = fetching();
        let (of_liar, of_a) = (block(3, LIAR), block(9, A));
        scheduler.update(&missing([(of_liar, &[LIAR])]), ms(0));
        assert_eq!(scheduler.due(ms(100)), [request(LIAR, &[of_liar])]);
        scheduler.update(&missing([(of_liar, &[LIAR]), (of_a, &[B])]), ms(100));
        assert_eq!(scheduler.due(ms(200)), [request(B, &[of_a])]);
        // After a failure it comes last, also for blocks of which it is a holder.
        scheduler.answered(&request(LIAR, &[of_liar]), None, ms(2_100));
        scheduler.answered(&request(B, &[of_a]), Some(&[of_a].into()), ms(2_100));
        let next = block(11, LIAR);
        scheduler.update(&missing([(next, &[A, LIAR])]), ms(2_100));
        assert_eq!(scheduler.due(ms(2_200)), [request(A, &[next])]);
    }

    #[test]
    fn a_silent_peer_comes_last_even_if_another_had_the_block() {
        let (mut scheduler, first) = (fetching(), block(7, A));
        scheduler.update(&missing([(first, &[LIAR])]), ms(0));
        let silent = scheduler.due(ms(100));
        assert_eq!(silent, [request(LIAR, &[first])]);
        let helpful = scheduler.due(ms(500));
        scheduler.answered(&helpful[0], Some(&[first].into()), ms(600));
        scheduler.update(&Missing::new(), ms(600));
        scheduler.answered(&silent[0], None, ms(2_100));
        let next = block(8, LIAR);
        scheduler.update(&missing([(next, &[LIAR, B])]), ms(2_100));
        assert_eq!(scheduler.due(ms(2_200)), [request(B, &[next])]);
    }

    #[test]
    fn an_empty_answer_does_not_extend_the_patience() {
        let (mut scheduler, wanted) = (fetching(), block(7, A));
        scheduler.update(&missing([(wanted, &[])]), ms(0));
        for now in [ms(100), ms(110)] {
            let asked = scheduler.due(now);
            scheduler.answered(&asked[0], Some(&BTreeSet::new()), now);
        }
        assert_eq!(scheduler.due(ms(120)).len(), 1);
        assert_eq!(scheduler.next_due(ms(120)), Some(ms(520)));
    }

    #[test]
    fn each_overdue_request_doubles_the_patience() {
        let (mut scheduler, wanted) = (fetching(), block(7, A));
        scheduler.update(&missing([(wanted, &[LIAR])]), ms(0));
        assert_eq!(scheduler.due(ms(100)), [request(LIAR, &[wanted])]);
        assert_eq!(scheduler.due(ms(499)), []);
        assert_eq!(scheduler.next_due(ms(499)), Some(ms(500)));
        let second = scheduler.due(ms(500));
        assert!(
            matches!(&second[..], [FetchRequest { peer: A | B, .. }]),
            "{second:?}"
        );
        assert_eq!(scheduler.due(ms(1_199)), []);
        let third = scheduler.due(ms(1_200));
        assert_eq!(third.len(), 1);
        assert!(![LIAR, second[0].peer].contains(&third[0].peer));
        scheduler.answered(&third[0], Some(&[wanted].into()), ms(1_300));
        scheduler.update(&Missing::new(), ms(1_300));
        assert_eq!(scheduler.next_due(ms(1_300)), None);
    }

    #[test]
    fn a_request_to_the_author_does_not_block_others_once_there_are_other_holders() {
        let (mut scheduler, withheld) = (fetching(), block(7, LIAR));
        scheduler.update(&missing([(withheld, &[LIAR])]), ms(0));
        assert_eq!(scheduler.due(ms(100)), [request(LIAR, &[withheld])]);
        scheduler.update(&missing([(withheld, &[A, LIAR])]), ms(150));
        assert_eq!(scheduler.due(ms(150)), [request(A, &[withheld])]);
        scheduler.update(&missing([(withheld, &[A, B, LIAR])]), ms(160));
        assert_eq!(scheduler.due(ms(160)), [], "A may answer");
    }

    #[test]
    fn a_peer_without_the_block_is_asked_again_once_it_is_a_holder() {
        let (mut scheduler, withheld) = (fetching(), block(7, LIAR));
        scheduler.update(&missing([(withheld, &[LIAR])]), ms(0));
        for now in [ms(100), ms(110), ms(120)] {
            for request in scheduler.due(now) {
                scheduler.answered(&request, Some(&BTreeSet::new()), now);
            }
        }
        assert_eq!(scheduler.due(ms(130)), [], "no peer had the block");
        scheduler.update(&missing([(withheld, &[B, LIAR])]), ms(130));
        assert_eq!(scheduler.due(ms(130)), [request(B, &[withheld])]);
    }

    #[test]
    fn blocks_that_do_not_exist_do_not_delay_others_and_are_requested_at_growing_intervals() {
        let mut scheduler = fetching();
        let real = block(900, A);
        let mut all: Missing = (1..=800)
            .map(|round| (block(round, B), BTreeSet::from([LIAR])))
            .collect();
        all.insert(real, BTreeSet::from([A]));
        scheduler.update(&all, ms(0));
        let asked = scheduler.due(ms(100));
        assert!(
            asked
                .iter()
                .any(|q| q.peer == A && q.blocks.contains(&real))
        );
        assert!(
            asked
                .iter()
                .all(|q| q.blocks.len() <= MAX_BLOCKS_PER_REQUEST)
        );

        let mut scheduler = self::fetching();
        let unknown = block(5, B);
        scheduler.update(&missing([(unknown, &[LIAR])]), ms(0));
        let mut requests = 0;
        for now in (0..60_000).step_by(50).map(ms) {
            for request in scheduler.due(now) {
                scheduler.answered(&request, Some(&BTreeSet::new()), now);
                requests += 1;
            }
        }
        // Three peers, each about once a second after the first pauses.
        assert!((150..220).contains(&requests), "{requests}");
    }

    #[test]
    fn peers_are_asked_one_after_another_until_one_has_the_block() {
        let (mut scheduler, lost) = (fetching(), block(4, A));
        scheduler.update(&missing([(lost, &[LIAR])]), ms(0));
        let mut peers = BTreeSet::new();
        for _ in 0..3 {
            let asked = scheduler.due(ms(100));
            let [request] = &asked[..] else {
                panic!("{asked:?}")
            };
            peers.insert(request.peer);
            scheduler.answered(request, Some(&BTreeSet::new()), ms(100));
        }
        assert_eq!(peers, [A, B, LIAR].into());
        assert_eq!(scheduler.next_due(ms(100)), Some(ms(200)));
    }

    #[test]
    fn a_found_block_is_not_requested_again_while_it_is_accepted() {
        let (mut scheduler, name) = (fetching(), block(4, A));
        let missing = missing([(name, &[A])]);
        scheduler.update(&missing, ms(0));
        let asked = scheduler.due(ms(100));
        scheduler.answered(&asked[0], Some(&[name].into()), ms(150));
        scheduler.update(&missing, ms(150));
        assert_eq!(scheduler.due(ms(649)), []);
        assert_eq!(scheduler.due(ms(650)), asked, "the block is still missing");
        scheduler.update(&Missing::new(), ms(650));
        assert_eq!(scheduler.next_due(ms(650)), None);
    }
}
