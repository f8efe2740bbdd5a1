//! What a program shows and answers, move by move.

use super::{ancestors::FAR_AHEAD, *};
use crate::byzantine::testing::Bench;
use metanode_core::types::{Chain, InvalidBlock, MAX_BLOCK_TRANSACTIONS};

fn programmed(program: &[Move]) -> Programmed {
    let surroundings = Surroundings {
        colluders: [AuthorityIndex(3)].into(),
        earlier_epoch: vec![Bytes::from_static(b"earlier")],
        link_bytes_per_second: 1_000_000,
        peer_timeout: Duration::from_millis(100),
    };
    Programmed::new(program.to_vec(), surroundings)
}

/// A bench after five rounds with all peers, and the honest block of the next.
fn after_five_rounds(strategy: &mut Programmed) -> (Bench, VerifiedBlock) {
    let mut bench = Bench::new();
    for round in 1..=5 {
        let honest = bench.make().expect("a block");
        bench.stream(strategy, &honest);
        bench.receive_round(Round(round), 3);
    }
    let honest = bench.make().expect("a block");
    (bench, honest)
}

/// Honest for five rounds, then a move.
fn at_last(step: Move) -> Programmed {
    let honest = Move {
        rounds: 5,
        ..Move::default()
    };
    programmed(&[honest, step])
}

fn verdict(step: Move) -> Result<VerifiedBlock, InvalidBlock> {
    let mut strategy = at_last(step);
    let (mut bench, honest) = after_five_rounds(&mut strategy);
    let shown = bench.stream(&mut strategy, &honest);
    bench.verifies(shown.first().expect("shown"))
}

#[test]
fn without_moves_it_is_honest() {
    let mut strategy = programmed(&[]);
    let (mut bench, honest) = after_five_rounds(&mut strategy);
    assert_eq!(bench.stream(&mut strategy, &honest), [honest.bytes()]);
    let request = PeerRequest::NewestBlockOf(AuthorityIndex(1));
    let answer = PeerResponse::NewestBlock(None);
    let answered = bench.answer(&mut strategy, &request, answer.clone());
    assert_eq!(answered, Some(answer));
}

#[test]
fn moves_follow_each_other_for_their_rounds_and_begin_again() {
    let mut strategy = programmed(&[
        Move {
            rounds: 2,
            ..Move::default()
        },
        Move {
            end_of_epoch: true,
            ..Move::default()
        },
    ]);
    let mut bench = Bench::new();
    let mut marks = vec![];
    for round in 1..=6 {
        let honest = bench.make().expect("a block");
        let shown = bench.stream(&mut strategy, &honest);
        marks.push(bench.verifies(&shown[0]).expect("valid").end_of_epoch);
        bench.receive_round(Round(round), 3);
    }
    assert_eq!(marks, [false, false, true, false, false, true]);
}

#[test]
fn rounds_ancestors_and_payloads_are_as_the_move_says() {
    let step = Move::default();
    let stale = verdict(Move {
        round: BlockRound::Stale,
        ..step
    });
    assert!(stale.expect("valid").round < Round(6));
    let ahead = verdict(Move {
        round: BlockRound::FarAhead,
        ..step
    });
    assert!(ahead.expect("valid").round > Round(FAR_AHEAD));
    let on = |ancestors| verdict(Move { ancestors, ..step });
    assert_eq!(on(Ancestors::Newest).expect("valid").ancestors.len(), 4);
    assert_eq!(on(Ancestors::Quorum).expect("valid").ancestors.len(), 3);
    let too_few = on(Ancestors::TooFew).expect_err("too few");
    assert!(matches!(too_few, InvalidBlock::TooFewParents { .. }));
    let older = on(Ancestors::Older).expect("valid").ancestors.clone();
    assert!(older.iter().any(|ancestor| ancestor.round < Round(5)));
    assert!(on(Ancestors::Twice).is_err());
    for signature in Signature::ALL {
        let signed = verdict(Move {
            signature: *signature,
            end_of_epoch: true,
            ..step
        });
        assert_eq!(
            signed.is_ok(),
            *signature == Signature::Valid,
            "{signature:?}"
        );
    }
    let with = |payload| verdict(Move { payload, ..step });
    assert_eq!(with(Payload::Few).expect("valid").transactions.len(), 3);
    let most = with(Payload::ManyEmpty).expect("valid");
    assert_eq!(most.transactions.len(), MAX_BLOCK_TRANSACTIONS);
    assert!(with(Payload::TooManyEmpty).is_err());
    assert!(with(Payload::TooLarge).is_err());
    assert_eq!(with(Payload::Large).expect("valid").transactions.len(), 1);
}

#[test]
fn a_forged_ancestor_is_served_and_does_not_verify() {
    let mut strategy = at_last(Move {
        ancestors: Ancestors::Forged,
        ..Move::default()
    });
    let (mut bench, honest) = after_five_rounds(&mut strategy);
    let shown = bench.stream(&mut strategy, &honest);
    let block = bench
        .verifies(&shown[0])
        .expect("valid but for what it names");
    let request = PeerRequest::Blocks(block.ancestors.clone());
    let nothing = PeerResponse::Blocks(vec![]);
    let answer = bench.answer(&mut strategy, &request, nothing);
    let Some(PeerResponse::Blocks(forged)) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(forged.len(), 1);
    assert!(bench.verifies(&forged[0]).is_err());
}

#[test]
fn twins_continue_chains_of_their_own() {
    let mut strategy = programmed(&[Move {
        twins: 2,
        ..Move::default()
    }]);
    let mut bench = Bench::new();
    let mut last: Option<[BlockRef; 2]> = None;
    for round in 1..=5 {
        let honest = bench.make().expect("a block");
        let blocks = [1, 2].map(|peer| {
            let shown = bench.stream_to(AuthorityIndex(peer), &mut strategy, &honest);
            bench.verifies(&shown[0]).expect("valid")
        });
        assert_eq!(blocks[0].slot(), blocks[1].slot());
        if let Some(last) = last {
            assert_eq!(blocks.clone().map(|block| block.ancestors[0]), last);
        }
        let references = blocks.map(|block| block.reference());
        assert_ne!(references[0], references[1]);
        last = Some(references);
        bench.receive_round(Round(round), 3);
    }
}

#[test]
fn the_audience_is_as_the_move_says() {
    for (shown_to, peers) in [
        (Audience::Everybody, vec![1, 2, 3]),
        (Audience::Half, vec![1, 2]),
        (Audience::Few, vec![1]),
        (Audience::Colluders, vec![3]),
        (Audience::Nobody, vec![]),
    ] {
        let mut strategy = programmed(&[Move {
            shown_to,
            ..Move::default()
        }]);
        let (mut bench, honest) = after_five_rounds(&mut strategy);
        let mut seen = vec![];
        for peer in 1..4 {
            let shown = bench.stream_to(AuthorityIndex(peer), &mut strategy, &honest);
            seen.extend(shown.first().map(|_| peer));
        }
        assert_eq!(seen, peers, "{shown_to:?}");
    }
    let late = verdict(Move {
        shown_to: Audience::Late,
        ..Move::default()
    });
    assert_eq!(late.expect("valid").round, Round(5));
}

#[test]
fn answers_are_as_the_move_says() {
    let request = PeerRequest::NewestBlockOf(AuthorityIndex(1));
    for answers in Answers::ALL {
        let mut strategy = programmed(&[Move {
            answers: *answers,
            ..Move::default()
        }]);
        let (mut bench, honest) = after_five_rounds(&mut strategy);
        bench.stream(&mut strategy, &honest);
        let true_answer = PeerResponse::NewestBlock(Some(honest.bytes().clone()));
        let answer = bench.answer(&mut strategy, &request, true_answer.clone());
        let is_true = answer.as_ref() == Some(&true_answer);
        let may_be_true = [Answers::Truthful, Answers::Slow, Answers::Huge];
        assert_eq!(is_true, may_be_true.contains(answers), "{answers:?}");
        assert_eq!(answer.is_none(), *answers == Answers::Never);
    }
}

#[test]
fn welcomes_are_as_the_move_says() {
    let honest = Welcomed {
        chain: Chain::default(),
        newest_epoch: Epoch(3),
    };
    for welcomes in Welcomes::ALL {
        let mut strategy = programmed(&[Move {
            welcomes: *welcomes,
            ..Move::default()
        }]);
        let (mut bench, block) = after_five_rounds(&mut strategy);
        bench.stream(&mut strategy, &block);
        let welcome = strategy.welcome(honest);
        let (epoch, chain) = welcome.map_or((None, None), |welcome| {
            (Some(welcome.newest_epoch.0), Some(welcome.chain))
        });
        let expected = match welcomes {
            Welcomes::LastEpoch => Some(u64::MAX),
            Welcomes::FirstEpoch => Some(0),
            Welcomes::Never => None,
            Welcomes::Truthful | Welcomes::OtherChain => Some(3),
        };
        assert_eq!(epoch, expected);
        let is_of_this_chain = chain == Some(honest.chain);
        assert_eq!(
            is_of_this_chain,
            !matches!(welcomes, Welcomes::Never | Welcomes::OtherChain)
        );
    }
}
