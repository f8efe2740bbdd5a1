//! The connections of a listener: which may stay, and how much each may take.

use super::{
    bug_switches,
    places::{Kind, Limits, NoPlace, PlaceId, Places, Seat},
    rate::Rate,
    sessions::Caller,
};
use crate::{
    config::PeerParameters,
    sync::{Mutex, MutexGuard},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// All connections of a listener.
pub(crate) struct Admission {
    state: Mutex<State>,
    parameters: PeerParameters,
    began: Instant,
}

struct State {
    places: Places,
    displaced: BTreeMap<PlaceId, Arc<Notify>>,
    /// By key; one for all guests.
    rates: BTreeMap<Option<[u8; 32]>, Rate>,
}

/// The place of one connection, until it is dropped.
pub(crate) struct Place {
    admission: Arc<Admission>,
    id: PlaceId,
    seat: Mutex<Seat>,
    displaced: Arc<Notify>,
}

impl Admission {
    #[must_use]
    #[allow(clippy::disallowed_methods)] // tokio's clock; under madsim the lint mistakes it for that of std
    pub fn new(parameters: PeerParameters) -> Arc<Self> {
        let limits = Limits {
            pending: parameters.max_pending_connections as usize,
            per_member: parameters.max_connections_per_member as usize,
            guests: parameters.max_guests as usize,
            guest_patience: Duration::from_millis(parameters.guest_patience_ms),
        };
        Arc::new(Self {
            state: Mutex::new(State {
                places: Places::new(limits),
                displaced: BTreeMap::new(),
                rates: BTreeMap::new(),
            }),
            parameters,
            began: Instant::now(),
        })
    }

    /// A connection was accepted: it gets a place, and another one may lose its own.
    pub fn accept(self: &Arc<Self>) -> Place {
        let displaced = Arc::new(Notify::new());
        let now = self.began.elapsed();
        let mut state = self.state();
        let (id, gone) = state.places.accept(now);
        state.displaced.insert(id, displaced.clone());
        state.displace(gone);
        drop(state);
        Place {
            admission: self.clone(),
            id,
            seat: Mutex::new(Seat::Pending),
            displaced,
        }
    }

    /// Applies `of` to the rate of who has this seat.
    fn rate<T>(&self, seat: Seat, of: impl FnOnce(&mut Rate, Duration) -> T) -> T {
        let (key, bytes_per_second) = match seat {
            Seat::Member(key, _) => (Some(key), self.parameters.member_bytes_per_second),
            Seat::Guest | Seat::Pending => (None, self.parameters.guest_bytes_per_second),
        };
        let new = || Rate::new(bytes_per_second.into());
        let now = self.began.elapsed();
        of(self.state().rates.entry(key).or_insert_with(new), now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn displace(&self, gone: Option<PlaceId>) {
        if let Some(displaced) = gone.and_then(|id| self.displaced.get(&id)) {
            displaced.notify_one();
        }
    }
}

impl Place {
    /// The caller has proven that it has this key. Returns whether another connection has to go.
    ///
    /// # Errors
    /// If it is a guest and finds no place.
    pub fn prove(&self, caller: Caller, kind: Kind) -> Result<bool, NoPlace> {
        let seat = seat(caller, kind);
        let now = self.admission.began.elapsed();
        let mut state = self.admission.state();
        let gone = state.places.seat(self.id, seat, now)?;
        state.displace(gone);
        *self.seat.lock().unwrap_or_else(PoisonError::into_inner) = seat;
        Ok(gone.is_some())
    }

    fn seat(&self) -> Seat {
        *self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller is no member.
    pub fn is_guest(&self) -> bool {
        !matches!(self.seat(), Seat::Member(..))
    }

    /// Returns when the connection has to go.
    pub async fn displaced(&self) {
        self.displaced.notified().await;
    }

    /// Returns when the caller may take something again.
    pub async fn may_take(&self) {
        loop {
            let pause = (self.admission).rate(self.seat(), |rate, now| rate.pause(now));
            if pause.is_zero() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The caller gets this many bytes.
    pub fn take(&self, bytes: usize) {
        (self.admission).rate(self.seat(), |rate, now| rate.take(bytes, now));
    }
}

fn seat(caller: Caller, kind: Kind) -> Seat {
    match bug_switches::is_member(caller.seat.is_some()) {
        true => Seat::Member(caller.key, kind),
        false => Seat::Guest,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = self.admission.began.elapsed();
        let mut state = self.admission.state();
        state.places.leave(self.id);
        state.displaced.remove(&self.id);
        // Of peers that took nothing for a while nothing is kept.
        state.rates.retain(|_, rate| !rate.is_full(now));
    }
}
