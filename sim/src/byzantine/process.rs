//! The process of a Byzantine validator: listens at the address of its node, receives the blocks of all peers, builds
//! one block per round, and sends what its strategy decides. It moves bytes and decides nothing.
//!
//! It learns of an epoch from the first peer that connects in it, because it has no executor. The previous epoch stays
//! for slower peers.

use super::{
    Asked, ByzantinePlan, Sent, Strategy, Welcomed, context::Context, memory::Memory,
    programmed::Surroundings,
};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::{
        self, FRAMING, MAX_BLOCKS_PER_REQUEST, PeerRequest, PeerResponse, Purpose, REQUEST_FRAMING,
    },
    env::{BoxListener, BoxStream, Env},
    framing::{Decoder, read_frame, read_frame_exactly, write_frame},
    peers::{Hello, RetainedEpochs, SecureStream, Sessions, SharedRandom, read_hello, refuse},
    tasks::Tasks,
    types::{
        Address, AuthorityIndex, Chain, ChainId, Committee, Epoch, KeyPair, NetworkKeyPair, Round,
        SignatureScheme, VerifiedBlock,
    },
};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

/// Why an exchange with a peer ended; always ignored.
type Ended = Box<dyn std::error::Error + Send + Sync>;

/// Pause between two attempts to connect to a peer.
const RETRY: Duration = Duration::from_millis(200);

/// Honest blocks of the last rounds that are kept for peers that connect late.
const RECENT: usize = 64;

/// Frames queued for a slow peer. Further ones are dropped.
const QUEUE: usize = 1_024;

/// The configuration of a Byzantine validator.
pub(crate) struct Setup {
    pub env: Env,
    pub address: Address,
    pub scheme: SignatureScheme,
    pub chain: Chain,
    pub plan: ByzantinePlan,
    pub min_round_delay: Duration,
    /// How long its peers wait for an answer.
    pub peer_timeout: Duration,
    /// What a connection carries in the worst case.
    pub link_bytes_per_second: u64,
    /// Its identity in an epoch; `None` if it is not a member.
    pub identity: Box<dyn Fn(Epoch) -> Option<Identity> + Send + Sync>,
}

/// A member of a committee.
pub(crate) struct Identity {
    pub own: AuthorityIndex,
    pub keys: KeyPair,
    pub network_keys: NetworkKeyPair,
    pub committee: Arc<Committee>,
    /// The other Byzantine members.
    pub colluders: BTreeSet<AuthorityIndex>,
}

/// The validator over all epochs.
struct ByzantineProcess {
    setup: Setup,
    /// The newest epoch of any peer and the previous one. `None` where the validator is not a member.
    epochs: Mutex<BTreeMap<Epoch, Option<Arc<ByzantineValidator>>>>,
    tasks: Tasks,
}

/// The validator in one epoch.
struct ByzantineValidator {
    env: Env,
    own: AuthorityIndex,
    committee: Arc<Committee>,
    scheme: SignatureScheme,
    chain: Chain,
    sessions: Sessions,
    state: Mutex<State>,
    tasks: Tasks,
}

struct State {
    behaviour: Behaviour,
    recent: VecDeque<VerifiedBlock>,
    /// In the order of their subscriptions.
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    peer: AuthorityIndex,
    frames: mpsc::Sender<Bytes>,
}

/// The strategy with everything that its decisions depend on.
struct Behaviour {
    keys: KeyPair,
    chain: ChainId,
    committee: Arc<Committee>,
    memory: Memory,
    strategy: Box<dyn Strategy>,
    random: ChaCha8Rng,
}

impl Behaviour {
    fn decide<T>(&mut self, decide: impl FnOnce(&mut dyn Strategy, &mut Context<'_>) -> T) -> T {
        let mut context = Context {
            keys: &self.keys,
            chain: self.chain,
            committee: &self.committee,
            memory: &mut self.memory,
            random: &mut self.random,
        };
        decide(self.strategy.as_mut(), &mut context)
    }

    fn stream(&mut self, sent: Sent<'_>) -> Vec<Bytes> {
        self.decide(|strategy, context| strategy.stream(sent, context))
    }

    /// The answer, and the time until it is sent.
    fn answer(&mut self, asked: Asked<'_>) -> Option<(PeerResponse, Duration)> {
        self.decide(|strategy, context| {
            let answer = strategy.answer(asked, context)?;
            Some((answer, strategy.delay(context)))
        })
    }
}

/// Runs a Byzantine validator until its process ends.
pub(crate) async fn run(setup: Setup) {
    let Ok(listener) = setup.env.network.listen(&setup.address).await else {
        return;
    };
    let process = Arc::new(ByzantineProcess {
        tasks: Tasks::new(setup.env.monitor.clone()),
        setup,
        epochs: Mutex::default(),
    });
    // A member of epoch 0 is active before any peer connects.
    let _ = process.in_epoch(Epoch(0));
    serve(process, listener).await;
}

impl ByzantineProcess {
    /// The validator in this epoch, which begins if it is newer than all before. `None` where it is not a member, and
    /// in old epochs.
    fn in_epoch(&self, epoch: Epoch) -> Option<Arc<ByzantineValidator>> {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if epochs
            .last_key_value()
            .is_none_or(|(last, _)| epoch > *last)
        {
            let last = epochs.last_key_value().and_then(|(_, last)| last.as_ref());
            let recent = last.map(|last| last.recent_blocks()).unwrap_or_default();
            let identity = (self.setup.identity)(epoch);
            let validator =
                identity.map(|identity| ByzantineValidator::begin(&self.setup, identity, recent));
            epochs.insert(epoch, validator);
            let kept = epochs.split_off(&Epoch(epoch.0.saturating_sub(1)));
            let over = std::mem::replace(&mut *epochs, kept);
            for validator in over.into_values().flatten() {
                validator.tasks.abort();
            }
        }
        epochs.get(&epoch)?.clone()
    }
}

impl ByzantineValidator {
    /// Subscribes to all peers and builds blocks until its tasks are aborted. `earlier_epoch` are blocks of the epoch
    /// before.
    fn begin(setup: &Setup, identity: Identity, earlier_epoch: Vec<Bytes>) -> Arc<Self> {
        let Identity {
            own,
            keys,
            network_keys,
            committee,
            colluders,
        } = identity;
        let surroundings = Surroundings {
            colluders,
            earlier_epoch,
            link_bytes_per_second: setup.link_bytes_per_second,
            peer_timeout: setup.peer_timeout,
        };
        let label = format!("byzantine/{}", committee.epoch());
        let ephemeral_keys = setup.env.entropy.stream(&format!("{label}/sessions"));
        let sessions = Sessions::new(
            setup.chain,
            committee.clone(),
            Some(own),
            network_keys,
            SharedRandom::new(ephemeral_keys),
            setup.env.events.clone(),
        );
        let validator = Arc::new(Self {
            state: Mutex::new(State {
                behaviour: Behaviour {
                    keys,
                    chain: setup.chain.id(),
                    memory: Memory::new(own, committee.clone()),
                    committee: committee.clone(),
                    strategy: setup.plan.new_strategy(surroundings),
                    random: setup.env.entropy.stream(&label),
                },
                recent: VecDeque::new(),
                subscribers: vec![],
            }),
            env: setup.env.clone(),
            own,
            committee,
            scheme: setup.scheme,
            chain: setup.chain,
            sessions,
            tasks: Tasks::new(setup.env.monitor.clone()),
        });
        for (peer, authority) in validator.committee.authorities() {
            if peer != validator.own {
                let address = Address::Tcp(authority.p2p_address);
                validator
                    .tasks
                    .spawn(subscribe_to(validator.clone(), peer, address));
            }
        }
        validator
            .tasks
            .spawn(make_blocks(validator.clone(), setup.min_round_delay));
        validator
    }

    fn recent_blocks(&self) -> Vec<Bytes> {
        let state = self.state();
        (state.recent.iter())
            .map(|block| block.bytes().clone())
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Builds the block of a round, if one is due, and sends each subscriber what the strategy decides.
    fn make_block(&self) {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(draft) = state.behaviour.memory.draft(self.env.clock.now()) else {
            return;
        };
        let honest = draft.sign(&state.behaviour.keys, state.behaviour.chain);
        state.behaviour.memory.made(&honest);
        if state.recent.len() == RECENT {
            state.recent.pop_front();
        }
        state.recent.push_back(honest.clone());
        state.subscribers.retain(|to| !to.frames.is_closed());
        for to in &state.subscribers {
            let sent = Sent {
                to: to.peer,
                honest: &honest,
            };
            send(to, state.behaviour.stream(sent));
        }
    }

    /// The frames for a new subscriber: recent blocks, then those of every round.
    fn subscribe(&self, peer: AuthorityIndex, after: Round) -> mpsc::Receiver<Bytes> {
        let (frames, received) = mpsc::channel(QUEUE);
        let to = Subscriber { peer, frames };
        let mut guard = self.state();
        let state = &mut *guard;
        for honest in state.recent.iter().filter(|block| block.round > after) {
            let sent = Sent { to: peer, honest };
            send(&to, state.behaviour.stream(sent));
        }
        state.subscribers.push(to);
        received
    }

    fn answer(&self, request: &PeerRequest) -> Option<(PeerResponse, Duration)> {
        let behaviour = &mut self.state().behaviour;
        let bytes = |block: &VerifiedBlock| block.bytes().clone();
        let honest = match request {
            PeerRequest::Blocks(wanted) => {
                let wanted = &wanted[..wanted.len().min(MAX_BLOCKS_PER_REQUEST)];
                PeerResponse::Blocks(
                    behaviour
                        .memory
                        .find(wanted)
                        .into_iter()
                        .map(bytes)
                        .collect(),
                )
            }
            // It stores no commits, which violates no rule.
            PeerRequest::Commits { .. } => PeerResponse::Commits {
                commits: vec![],
                voters: vec![],
                further_voters: vec![],
            },
            PeerRequest::NewestBlockOf(author) => {
                let newest = behaviour.memory.blocks_of(*author).next_back();
                PeerResponse::NewestBlock(newest.map(bytes))
            }
        };
        behaviour.answer(Asked { request, honest })
    }
}

fn send(to: &Subscriber, bodies: Vec<Bytes>) {
    for frame in bodies
        .iter()
        .filter_map(|body| FRAMING.encode_body(body).ok())
    {
        // A full or closed queue drops the frame.
        let _ = to.frames.try_send(frame);
    }
}

/// Receives a peer's blocks, reconnecting forever.
async fn subscribe_to(validator: Arc<ByzantineValidator>, peer: AuthorityIndex, address: Address) {
    loop {
        // Every end leads to another attempt.
        let _ = try_subscribe_to(&validator, peer, &address).await;
        tokio::time::sleep(RETRY).await;
    }
}

async fn try_subscribe_to(
    validator: &ByzantineValidator,
    peer: AuthorityIndex,
    address: &Address,
) -> Result<Infallible, Ended> {
    let stream = validator.env.network.connect(address).await?;
    let newest = validator
        .state()
        .behaviour
        .memory
        .blocks_of(peer)
        .next_back()
        .cloned();
    let (mut stream, _) = validator.sessions.connect(stream, peer).await?;
    let purpose = Purpose::Subscribe {
        after: newest.map_or(Round(0), |block| block.round),
    };
    write_frame(&mut stream, &protocol::frame(&purpose)?).await?;
    let mut decoder = Decoder::new(FRAMING);
    let (committee, scheme) = (&validator.committee, validator.scheme);
    loop {
        let body = next(&mut stream, &mut decoder).await?;
        if let Ok(block) = VerifiedBlock::verify(body, committee, scheme, validator.chain.id()) {
            validator.state().behaviour.memory.keep(block);
        }
    }
}

async fn next(stream: &mut SecureStream<BoxStream>, decoder: &mut Decoder) -> Result<Bytes, Ended> {
    let read = read_frame(stream, decoder).await;
    read?.ok_or_else(|| "closed".into())
}

/// Builds blocks forever.
async fn make_blocks(validator: Arc<ByzantineValidator>, min_round_delay: Duration) {
    loop {
        validator.make_block();
        tokio::time::sleep(min_round_delay).await;
    }
}

/// Accepts peers forever.
async fn serve(process: Arc<ByzantineProcess>, listener: BoxListener) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                // After any error the peer reconnects.
                process
                    .tasks
                    .spawn(serve_connection(process.clone(), stream));
            }
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Reads the epoch of the peer and serves it in that epoch.
async fn serve_connection(
    process: Arc<ByzantineProcess>,
    mut stream: BoxStream,
) -> Result<(), Ended> {
    let hello = read_hello(&mut stream).await?;
    let validator = process
        .in_epoch(hello.epoch)
        .ok_or("not a member in that epoch")?;
    let served = validator.clone();
    validator.tasks.spawn(async move {
        let _ = serve_peer(&served, stream, hello).await;
    });
    Ok(())
}

async fn serve_peer(
    validator: &ByzantineValidator,
    mut stream: BoxStream,
    hello: Hello,
) -> Result<Infallible, Ended> {
    let honest = Welcomed {
        chain: validator.chain,
        newest_epoch: validator.committee.epoch(),
    };
    let Some(welcome) = validator.state().behaviour.strategy.welcome(honest) else {
        return std::future::pending().await;
    };
    if welcome.chain != hello.chain {
        let retained = RetainedEpochs {
            oldest: hello.epoch,
            newest: welcome.newest_epoch,
        };
        return Err(refuse(&mut stream, welcome.chain, retained, &hello)
            .await
            .into());
    }
    let sessions = &validator.sessions;
    let accepted = sessions.answer(stream, &hello, welcome.newest_epoch);
    let accepted = accepted.await?;
    let mut stream = accepted.stream;
    let purpose = read_frame_exactly(&mut stream, REQUEST_FRAMING.limit_bytes).await?;
    let mut decoder = Decoder::new(FRAMING);
    match protocol::parse(&purpose.ok_or("closed")?)? {
        Purpose::Subscribe { after } => {
            let from = accepted.caller.seat.ok_or("followers are not served")?;
            let mut frames = validator.subscribe(from, after);
            while let Some(frame) = frames.recv().await {
                write_frame(&mut stream, &frame).await?;
            }
            Err("the validator ended".into())
        }
        Purpose::HandOver => Err("transactions of others are not taken".into()),
        Purpose::Query => loop {
            let request = protocol::parse(&next(&mut stream, &mut decoder).await?)?;
            let Some((response, delay)) = validator.answer(&request) else {
                return std::future::pending().await;
            };
            tokio::time::sleep(delay).await;
            let frame = protocol::frame(&response)?;
            write_frame(&mut stream, &frame).await?;
        },
    }
}
