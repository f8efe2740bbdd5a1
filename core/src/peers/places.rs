//! How many connections the peers of a node may have at the same time. Pure: who comes, who goes, and who has to go.
//!
//! A connection is *pending* until its caller has proven a key. Anybody may make those, so the newest one replaces the
//! oldest one: a peer proves its key within a round trip, and who fills the places has to do it again within each. A
//! member replaces its own connections of the same kind only: the end of a connection is seen late on a slow link. Guests
//! share their places, and a guest has to give its place to another one after a while, because nobody can tell them apart:
//! keys cost nothing.

use std::{collections::BTreeMap, time::Duration};

/// Numbers of connections, those of members of each kind, and for how long a guest has its place in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub pending: usize,
    pub per_member: usize,
    pub guests: usize,
    pub guest_patience: Duration,
}

/// Who has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seat {
    Pending,
    /// Who has this key. Its connections of different kinds do not replace each other.
    Member([u8; 32], Kind),
    Guest,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Subscription,
    Queries,
    HandOver,
}

/// A connection, numbered in the order in which they were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PlaceId(u64);

/// All open connections.
#[derive(Debug)]
pub(crate) struct Places {
    limits: Limits,
    next: u64,
    /// In the order in which they got their seat, with the time of it.
    taken: BTreeMap<Seat, Vec<(PlaceId, Duration)>>,
}

/// All guests have places that they got a short time ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoPlace;

impl Places {
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            next: 0,
            taken: BTreeMap::new(),
        }
    }

    /// A connection was accepted. Returns which one has to go for it.
    pub fn accept(&mut self, now: Duration) -> (PlaceId, Option<PlaceId>) {
        let id = PlaceId(self.next);
        self.next += 1;
        (id, self.take(Seat::Pending, self.limits.pending, id, now))
    }

    /// Its caller has proven who it is. Returns which connection has to go for it.
    ///
    /// # Errors
    /// If it is a guest, and all others came a short time ago.
    pub fn seat(
        &mut self,
        id: PlaceId,
        seat: Seat,
        now: Duration,
    ) -> Result<Option<PlaceId>, NoPlace> {
        let limit = match seat {
            Seat::Pending => return Ok(None),
            Seat::Member(..) => self.limits.per_member,
            Seat::Guest => {
                let others = self.taken.get(&seat).map_or(&[][..], Vec::as_slice);
                let oldest = others.first().map(|(_, since)| now.saturating_sub(*since));
                let is_full = others.len() >= self.limits.guests;
                if is_full && oldest.is_none_or(|oldest| oldest < self.limits.guest_patience) {
                    return Err(NoPlace);
                }
                self.limits.guests
            }
        };
        self.leave(id);
        Ok(self.take(seat, limit, id, now))
    }

    /// A connection has ended.
    pub fn leave(&mut self, id: PlaceId) {
        self.taken.retain(|_, places| {
            places.retain(|(other, _)| *other != id);
            !places.is_empty()
        });
    }

    fn take(&mut self, seat: Seat, limit: usize, id: PlaceId, now: Duration) -> Option<PlaceId> {
        let places = self.taken.entry(seat).or_default();
        let displaced = (places.len() >= limit && !places.is_empty()).then(|| places.remove(0).0);
        places.push((id, now));
        displaced
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.taken.values().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        pending: 3,
        per_member: 2,
        guests: 2,
        guest_patience: Duration::from_secs(10),
    };

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_newest_pending_connection_replaces_the_oldest_one() {
        let mut places = Places::new(LIMITS);
        let ids: Vec<_> = (0..3).map(|_| places.accept(at(0)).0).collect();
        assert_eq!(places.accept(at(1)).1, Some(ids[0]));
        // Who has proven itself is not pending any more.
        assert_eq!(places.seat(ids[1], Seat::Guest, at(1)), Ok(None));
        assert_eq!(places.accept(at(1)).1, None);
    }

    #[test]
    fn a_member_replaces_its_own_connections_and_nobody_elses() {
        let mut places = Places::new(LIMITS);
        let mut of = |member| {
            let (id, _) = places.accept(at(0));
            let displaced = places.seat(id, Seat::Member([member; 32], Kind::Queries), at(0));
            (id, displaced.unwrap())
        };
        let (first, _) = of(0);
        let other = of(1);
        assert_eq!((other.1, of(0).1), (None, None));
        assert_eq!(of(0).1, Some(first));
    }

    #[test]
    fn a_guest_gives_its_place_to_another_one_after_a_while() {
        let mut places = Places::new(LIMITS);
        let guests: Vec<_> = (0..2)
            .map(|_| {
                let (id, _) = places.accept(at(0));
                places.seat(id, Seat::Guest, at(0)).unwrap();
                id
            })
            .collect();
        let (late, _) = places.accept(at(9));
        assert_eq!(places.seat(late, Seat::Guest, at(9)), Err(NoPlace));
        assert_eq!(places.seat(late, Seat::Guest, at(10)), Ok(Some(guests[0])));
    }

    proptest! {
        /// Whatever comes and goes, nobody has more than its limit, and members lose none to others.
        #[test]
        fn limits_hold(steps in prop::collection::vec((0u8..6, any::<bool>()), 1..300)) {
            let mut places = Places::new(LIMITS);
            let mut open = vec![];
            for (step, (who, leaves)) in steps.into_iter().enumerate() {
                let now = at(step as u64);
                let (id, displaced) = places.accept(now);
                open.push((id, Seat::Pending));
                open.retain(|(other, _)| Some(*other) != displaced);
                let seat = match who {
                    0..3 => Seat::Member([who; 32], Kind::Queries),
                    3 => Seat::Guest,
                    _ => Seat::Pending,
                };
                if let Ok(displaced) = places.seat(id, seat, now) {
                    let of_the_same = open.iter().find(|(other, _)| Some(*other) == displaced);
                    prop_assert!(of_the_same.is_none_or(|(_, other)| *other == seat));
                    open.retain(|(other, _)| *other != id && Some(*other) != displaced);
                    open.push((id, seat));
                }
                if leaves {
                    places.leave(open.remove(0).0);
                }
                prop_assert_eq!(places.count(), open.len());
                for (seat, limit) in [(Seat::Pending, 3), (Seat::Guest, 2), (Seat::Member([1; 32], Kind::Queries), 2)] {
                    prop_assert!(open.iter().filter(|(_, other)| *other == seat).count() <= limit);
                }
            }
        }
    }
}
