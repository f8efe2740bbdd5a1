//! the validator: listens where the node would, hears the blocks of all peers, makes one block per round, and lets its
//! strategy decide what goes out. Moves bytes; decides nothing.
//!
//! It has no executor to tell it of epochs. An epoch begins for it when a peer asks about it, and the one before stays
//! for peers that are slower.

use super::{Asked, ByzantineStrategy, Sent, Strategy, context::Context, memory::Memory};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::{
        self, FRAMING, Hello, MAX_BLOCKS_PER_REQUEST, PeerRequest, PeerResponse, Purpose,
    },
    env::{BoxListener, BoxStream, Env},
    framing::{Decoder, read_frame, write_frame},
    tasks::Tasks,
    types::{
        Address, AuthorityIndex, Committee, Epoch, KeyPair, Round, SignatureScheme, VerifiedBlock,
    },
};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

/// Why an exchange with a peer ended: nobody looks at it.
type Ended = Box<dyn std::error::Error + Send + Sync>;

/// Between two attempts to reach a peer.
const RETRY: Duration = Duration::from_millis(200);

/// Honest blocks of the last rounds, for peers that connect late.
const RECENT: usize = 64;

/// What waits for a peer that reads slowly. The rest it does not get.
const QUEUE: usize = 1_024;

/// What a Byzantine validator is made of.
pub(crate) struct Setup {
    pub env: Env,
    pub address: Address,
    pub scheme: SignatureScheme,
    pub strategy: ByzantineStrategy,
    pub min_round_delay: Duration,
    /// Who it is in an epoch; None if it is no member.
    pub identity: Box<dyn Fn(Epoch) -> Option<Identity> + Send + Sync>,
}

/// A member of a committee.
pub(crate) struct Identity {
    pub own: AuthorityIndex,
    pub keys: KeyPair,
    pub committee: Arc<Committee>,
}

/// the validator over all epochs.
struct ByzantineProcess {
    setup: Setup,
    /// The newest epoch that a peer has asked about, and the one before if there was one; none where it is no member.
    epochs: Mutex<BTreeMap<Epoch, Option<Arc<ByzantineValidator>>>>,
    tasks: Tasks,
}

/// the validator in one epoch.
struct ByzantineValidator {
    env: Env,
    own: AuthorityIndex,
    committee: Arc<Committee>,
    scheme: SignatureScheme,
    state: Mutex<State>,
    tasks: Tasks,
}

struct State {
    behaviour: Behaviour,
    recent: VecDeque<VerifiedBlock>,
    /// In the order in which they came.
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    peer: AuthorityIndex,
    frames: mpsc::Sender<Bytes>,
}

/// The strategy with everything that its decisions depend on.
struct Behaviour {
    keys: KeyPair,
    committee: Arc<Committee>,
    memory: Memory,
    strategy: Box<dyn Strategy>,
    random: ChaCha8Rng,
}

impl Behaviour {
    fn decide<T>(&mut self, decide: impl FnOnce(&mut dyn Strategy, &mut Context<'_>) -> T) -> T {
        let mut context = Context {
            keys: &self.keys,
            committee: &self.committee,
            memory: &mut self.memory,
            random: &mut self.random,
        };
        decide(self.strategy.as_mut(), &mut context)
    }

    fn stream(&mut self, sent: Sent<'_>) -> Vec<Bytes> {
        self.decide(|strategy, context| strategy.stream(sent, context))
    }

    fn answer(&mut self, asked: Asked<'_>) -> Option<PeerResponse> {
        self.decide(|strategy, context| strategy.answer(asked, context))
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
    // Whoever is a member from the beginning need not be asked first.
    let _ = process.in_epoch(Epoch(0));
    serve(process, listener).await;
}

impl ByzantineProcess {
    /// the validator in this epoch, which begins if it is newer than all before. None where it is no member, or in an
    /// epoch that is long over.
    fn in_epoch(&self, epoch: Epoch) -> Option<Arc<ByzantineValidator>> {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if epochs
            .last_key_value()
            .is_none_or(|(last, _)| epoch > *last)
        {
            let identity = (self.setup.identity)(epoch);
            let validator =
                identity.map(|identity| ByzantineValidator::begin(&self.setup, identity));
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
    /// Hears everybody and makes blocks until its tasks are aborted.
    fn begin(setup: &Setup, identity: Identity) -> Arc<Self> {
        let Identity {
            own,
            keys,
            committee,
        } = identity;
        let label = format!("byzantine/{}", committee.epoch());
        let validator = Arc::new(Self {
            state: Mutex::new(State {
                behaviour: Behaviour {
                    keys,
                    memory: Memory::new(own, committee.clone()),
                    committee: committee.clone(),
                    strategy: setup.strategy.strategy(),
                    random: setup.env.entropy.stream(&label),
                },
                recent: VecDeque::new(),
                subscribers: vec![],
            }),
            env: setup.env.clone(),
            own,
            committee,
            scheme: setup.scheme,
            tasks: Tasks::new(setup.env.monitor.clone()),
        });
        for (peer, authority) in validator.committee.authorities() {
            if let Ok(address) = authority.p2p_address.parse::<Address>()
                && peer != validator.own
            {
                validator
                    .tasks
                    .spawn(hear(validator.clone(), peer, address));
            }
        }
        validator
            .tasks
            .spawn(make_blocks(validator.clone(), setup.min_round_delay));
        validator
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the block of a round, if one is due, and gives everybody what the strategy wants them to get.
    fn make_block(&self) {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(draft) = state.behaviour.memory.draft(self.env.clock.now()) else {
            return;
        };
        let honest = draft.sign(&state.behaviour.keys);
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

    /// What somebody gets who subscribes, and then with every round.
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

    fn answer(&self, request: &PeerRequest) -> Option<PeerResponse> {
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
            // It makes no commits, which is not against any rule.
            PeerRequest::Commits { .. } => PeerResponse::Commits {
                commits: vec![],
                voters: vec![],
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
        // Full or gone: nobody is owed anything here.
        let _ = to.frames.try_send(frame);
    }
}

/// Hears a peer's blocks for ever.
async fn hear(validator: Arc<ByzantineValidator>, peer: AuthorityIndex, address: Address) {
    loop {
        // However it ended, it begins again.
        let _ = try_hear(&validator, peer, &address).await;
        tokio::time::sleep(RETRY).await;
    }
}

async fn try_hear(
    validator: &ByzantineValidator,
    peer: AuthorityIndex,
    address: &Address,
) -> Result<Infallible, Ended> {
    let mut stream = validator.env.network.connect(address).await?;
    let newest = validator
        .state()
        .behaviour
        .memory
        .blocks_of(peer)
        .next_back()
        .cloned();
    let hello = Hello {
        epoch: validator.committee.epoch(),
        from: Some(validator.own),
        purpose: Purpose::Subscribe {
            after: newest.map_or(Round(0), |block| block.round),
        },
    };
    let frame = protocol::frame(&hello)?;
    write_frame(&mut stream, &frame).await?;
    let mut decoder = Decoder::new(FRAMING);
    loop {
        let body = next(&mut stream, &mut decoder).await?;
        if let Ok(block) = VerifiedBlock::verify(body, &validator.committee, validator.scheme) {
            validator.state().behaviour.memory.keep(block);
        }
    }
}

async fn next(stream: &mut BoxStream, decoder: &mut Decoder) -> Result<Bytes, Ended> {
    let read = read_frame(stream, decoder).await;
    read?.ok_or_else(|| "closed".into())
}

/// Makes blocks for ever.
async fn make_blocks(validator: Arc<ByzantineValidator>, min_round_delay: Duration) {
    loop {
        validator.make_block();
        tokio::time::sleep(min_round_delay).await;
    }
}

/// Accepts peers for ever.
async fn serve(process: Arc<ByzantineProcess>, listener: BoxListener) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                // However it ends, the peer comes again.
                process.tasks.spawn(greet(process.clone(), stream));
            }
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Finds out which epoch the peer is in, and serves it there.
async fn greet(process: Arc<ByzantineProcess>, mut stream: BoxStream) -> Result<(), Ended> {
    let mut decoder = Decoder::new(FRAMING);
    let hello: Hello = protocol::parse(&next(&mut stream, &mut decoder).await?)?;
    let validator = process
        .in_epoch(hello.epoch)
        .ok_or("it is nobody in that epoch")?;
    let served = validator.clone();
    validator.tasks.spawn(async move {
        let _ = serve_peer(&served, stream, decoder, hello).await;
    });
    Ok(())
}

async fn serve_peer(
    validator: &ByzantineValidator,
    mut stream: BoxStream,
    mut decoder: Decoder,
    hello: Hello,
) -> Result<Infallible, Ended> {
    match hello.purpose {
        Purpose::Subscribe { after } => {
            let from = hello.from.ok_or("followers get nothing here")?;
            let mut frames = validator.subscribe(from, after);
            while let Some(frame) = frames.recv().await {
                write_frame(&mut stream, &frame).await?;
            }
            Err("nothing more comes".into())
        }
        Purpose::Query => loop {
            let request = protocol::parse(&next(&mut stream, &mut decoder).await?)?;
            let Some(response) = validator.answer(&request) else {
                return std::future::pending().await;
            };
            let frame = protocol::frame(&response)?;
            write_frame(&mut stream, &frame).await?;
        },
    }
}
