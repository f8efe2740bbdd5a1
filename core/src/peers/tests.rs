//! Sessions between nodes: who is accepted as whom, and what happens to altered bytes.

use super::{
    Accepted, Caller, RetainedEpochs, SecureStream, SessionError, Sessions, read_hello, refuse,
    testing::{network_keys, sessions_with},
};
use crate::{
    dag::test_dag::TestDag,
    types::{AuthorityIndex, Chain, Committee, Encryption, Epoch},
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const BOTH: [Encryption; 2] = [Encryption::Noise, Encryption::Readable];

/// A committee of four, in which member `n` has the network key `n`.
fn committee(epoch: u64, encryption: Encryption) -> Arc<Committee> {
    let committee = TestDag::with_stakes(Epoch(epoch), &[1; 4]).committee;
    let members = committee.authorities().map(|(index, member)| {
        let mut member = member.clone();
        member.network_key = network_keys(encryption, index.0).public();
        member
    });
    Arc::new(Committee::new(Epoch(epoch), members.collect()).unwrap())
}

/// Sessions of who has the key `key` and says that it is member `claimed`.
fn node(epoch: u64, encryption: Encryption, claimed: u16, key: u16) -> Sessions {
    let own = Some(AuthorityIndex(claimed));
    let keys = network_keys(encryption, key);
    sessions_with(&committee(epoch, encryption), own, keys)
}

type Ends = (SecureStream<DuplexStream>, Accepted<DuplexStream>);

/// The session of a caller with member 1.
async fn session(caller: &Sessions, listener: &Sessions) -> Result<Ends, SessionError> {
    let (near, mut far) = duplex(100);
    let calling = caller.connect(near, AuthorityIndex(1));
    let answering = async {
        let hello = read_hello(&mut far).await?;
        listener.answer(far, &hello, Epoch(7)).await
    };
    let (called, answered) = tokio::join!(calling, answering);
    // The caller's end is closed by an error of the listener.
    let accepted = answered?;
    let (stream, newest_epoch) = called?;
    assert_eq!(newest_epoch, Epoch(7));
    Ok((stream, accepted))
}

#[tokio::test]
async fn a_seat_is_what_the_handshake_proves_and_not_what_the_greeting_says() {
    for encryption in BOTH {
        let listener = node(3, encryption, 1, 1);
        for (claimed, key, seat) in [
            (0, 0, Some(AuthorityIndex(0))),
            (0, 2, Some(AuthorityIndex(2))),
            (0, 99, None),
        ] {
            let caller = node(3, encryption, claimed, key);
            let (_, accepted) = session(&caller, &listener).await.unwrap();
            let key = network_keys(encryption, key).public();
            let key = key.exchange_key(encryption).unwrap();
            assert_eq!(accepted.caller, Caller { key, seat });
        }
    }
}

#[tokio::test]
async fn who_does_not_have_the_key_of_the_committee_answers_nobody() {
    for encryption in BOTH {
        let caller = node(3, encryption, 0, 0);
        let thief = node(3, encryption, 1, 99);
        let refused = session(&caller, &thief).await;
        assert!(matches!(
            refused,
            Err(SessionError::ForOtherKey { epoch: Epoch(3) })
        ));
    }
}

#[tokio::test]
async fn a_handshake_of_another_epoch_is_refused() {
    for encryption in BOTH {
        let caller = node(3, encryption, 0, 0);
        // It has the same keys, and takes the greeting for one of its own epoch.
        let later = node(4, encryption, 1, 1);
        let refused = session(&caller, &later).await;
        assert!(matches!(
            refused,
            Err(SessionError::ForOtherKey { epoch: Epoch(4) })
        ));
    }
}

const KEPT: RetainedEpochs = RetainedEpochs {
    oldest: Epoch(7),
    newest: Epoch(9),
};

#[tokio::test]
async fn a_caller_learns_which_epochs_a_peer_keeps() {
    let caller = node(3, Encryption::Noise, 0, 0);
    let (near, mut far) = duplex(1_000);
    let calling = caller.connect(near, AuthorityIndex(1));
    let answering = async {
        let hello = read_hello(&mut far).await.unwrap();
        refuse(&mut far, hello.chain, KEPT, &hello).await
    };
    let (called, answered) = tokio::join!(calling, answering);
    for end in [called.err().unwrap(), answered] {
        assert!(
            matches!(
                end,
                SessionError::NotRetained {
                    epoch: Epoch(3),
                    retained: KEPT
                }
            ),
            "{end}"
        );
    }
}

#[tokio::test]
async fn a_caller_of_another_chain_learns_in_what_they_differ() {
    let caller = node(3, Encryption::Noise, 0, 0);
    let (near, mut far) = duplex(1_000);
    let other = Chain {
        leaders_per_round: 7,
        ..Chain::default()
    };
    let calling = caller.connect(near, AuthorityIndex(1));
    let answering = async {
        let hello = read_hello(&mut far).await.unwrap();
        refuse(&mut far, other, KEPT, &hello).await
    };
    let (called, answered) = tokio::join!(calling, answering);
    let told = called.err().unwrap().to_string();
    assert!(
        told.ends_with("leaders_per_round is 0 here, 7 there"),
        "{told}"
    );
    assert!(matches!(answered, SessionError::OtherChain { .. }));
}

/// Whoever repeats a greeting gets an answer, but can encrypt nothing, so nothing is read from the stream.
#[tokio::test]
async fn a_repeated_greeting_proves_nothing() {
    for encryption in BOTH {
        let (caller, listener) = (node(3, encryption, 0, 0), node(3, encryption, 1, 1));
        let (near, mut far) = duplex(1_000);
        let (mut other_near, mut other_far) = duplex(1_000);
        let calling = caller.connect(near, AuthorityIndex(1));
        let overhearing = async {
            let hello = read_hello(&mut far).await.unwrap();
            // To another connection of the listener.
            let accepted = listener.answer(other_near, &hello, Epoch(7)).await.unwrap();
            drop(far);
            accepted
        };
        let (_, accepted) = tokio::join!(calling, overhearing);
        assert_eq!(
            accepted.caller.seat,
            Some(AuthorityIndex(0)),
            "not proven yet"
        );
        let mut welcome = [0; 500];
        let _ = other_far.read(&mut welcome).await.unwrap();
        other_far.write_all(&[0, 20]).await.unwrap();
        other_far.write_all(&[1; 20]).await.unwrap();
        other_near = duplex(1).0;
        drop(other_near);
        let mut stream = accepted.stream;
        let error = stream.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
}

/// What the caller writes in these pieces arrives as it was, whatever the sizes of buffers and reads.
async fn carried(encryption: Encryption, pieces: &[usize], most_read: usize) {
    let (caller, listener) = (node(3, encryption, 0, 0), node(3, encryption, 1, 1));
    let (mut from, accepted) = session(&caller, &listener).await.unwrap();
    let total: usize = pieces.iter().sum();
    let bytes: Vec<u8> = (0..total).map(|n| (n % 251) as u8).collect();
    let writing = async {
        let mut rest = &bytes[..];
        for piece in pieces {
            let (now, later) = rest.split_at(*piece);
            from.write_all(now).await.unwrap();
            from.flush().await.unwrap();
            rest = later;
        }
        from.shutdown().await.unwrap();
    };
    let reading = async {
        let (mut to, mut found) = (accepted.stream, vec![]);
        let mut buffer = vec![0; most_read];
        loop {
            match to.read(&mut buffer).await.unwrap() {
                0 => return found,
                read => found.extend_from_slice(&buffer[..read]),
            }
        }
    };
    let ((), found) = tokio::join!(writing, reading);
    assert!(found == bytes, "{total} bytes were altered");
}

#[tokio::test]
async fn bytes_arrive_as_they_were() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut below = |end: u64| (random.next_u64() % end) as usize;
    for case in 0..64 {
        let pieces: Vec<usize> = (0..=below(5))
            .map(|_| match below(3) {
                0 => 0,
                1 => 1 + below(300),
                _ => 60_000 + below(80_000),
            })
            .collect();
        let most_read = match below(2) {
            0 => 1 + below(40),
            _ => 1_000 + below(200_000),
        };
        carried(BOTH[case % 2], &pieces, most_read).await;
    }
}

/// One altered bit in records, anywhere: nothing of that record is read, and nothing after it.
#[tokio::test]
async fn an_altered_bit_ends_the_stream() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for case in 0..100 {
        let (at, bit) = (random.next_u32() as usize, random.next_u32() % 8);
        altered(BOTH[case % 2], at, 1 << bit).await;
    }
}

/// Writes ten records to a listener, and alters the byte at `at` on the way.
async fn altered(encryption: Encryption, at: usize, bits: u8) {
    const RECORD: usize = 2 + 50 + 16;
    let (caller, listener) = (node(3, encryption, 0, 0), node(3, encryption, 1, 1));
    let (near, mut caller_end) = duplex(10_000);
    let (mut listener_end, mut far) = duplex(10_000);
    let calling = caller.connect(near, AuthorityIndex(1));
    let passing_on = async {
        pass_on(&mut caller_end, &mut listener_end).await;
        pass_on(&mut listener_end, &mut caller_end).await;
    };
    let answering = async {
        let hello = read_hello(&mut far).await.unwrap();
        listener.answer(far, &hello, Epoch(7)).await.unwrap()
    };
    let (called, (), accepted) = tokio::join!(calling, passing_on, answering);
    let (mut from, _) = called.unwrap();
    for record in 0..10u8 {
        from.write_all(&[record; 50]).await.unwrap();
    }
    from.flush().await.unwrap();
    let mut sealed = vec![0; 10 * RECORD];
    caller_end.read_exact(&mut sealed).await.unwrap();
    let at = at % sealed.len();
    sealed[at] ^= bits;
    listener_end.write_all(&sealed).await.unwrap();
    drop(listener_end);
    let (mut to, mut found) = (accepted.stream, vec![]);
    let error = to.read_to_end(&mut found).await.unwrap_err();
    assert_eq!(found.len(), at / RECORD * 50, "{error}");
}

/// A greeting, which is in the pipe as a whole.
async fn pass_on(from: &mut DuplexStream, to: &mut DuplexStream) {
    let mut greeting = [0; 1_000];
    let read = from.read(&mut greeting).await.unwrap();
    to.write_all(&greeting[..read]).await.unwrap();
}
