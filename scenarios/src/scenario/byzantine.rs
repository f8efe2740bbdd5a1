//! `[byzantine]`: Byzantine validators, drawn or named. At most f of 3f+1, and never the only node that delivers.

use super::target::Roster;
use crate::{
    sampling::{Sampled, Sampler, Stream},
    source::{InputError, Source},
};
use metanode_core::config::within;
use metanode_sim::{
    byzantine::most_byzantine,
    plan::{
        Ancestors, Answers, Audience, BlockRound, ByzantinePlan, ByzantineStrategy, Extra, Move,
        Payload, Signature, Votes, Welcomes,
    },
};
use serde::{Deserialize, Serialize};

/// Moves of a drawn program, rounds of a move, and the respects in which it deviates, at most.
const MOST_MOVES: u64 = 6;
const MOST_ROUNDS: u64 = 40;
const MOST_DEVIATIONS: u64 = 4;

/// `[byzantine]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Byzantine {
    /// One seed in this many has Byzantine validators.
    pub one_in: u32,
    /// Number of Byzantine validators, at most f.
    pub count: Sampled<u16>,
    /// The strategies from which each draws one.
    pub strategies: Vec<ByzantineStrategy>,
    /// Validators and their strategies, instead of all the above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<ByzantinePlan>,
}

impl Default for Byzantine {
    fn default() -> Self {
        Self {
            one_in: 1,
            count: Sampled::fixed(1),
            strategies: ByzantineStrategy::ALL.to_vec(),
            each: vec![],
        }
    }
}

impl Byzantine {
    /// The Byzantine validators of a seed, in the order of their numbers.
    pub(super) fn draw(
        &self,
        sampler: &Sampler,
        roster: Roster,
        tolerated: u16,
    ) -> Vec<ByzantinePlan> {
        if !self.each.is_empty() {
            return self.each.clone();
        }
        let chance = Sampled {
            low: 1,
            high: self.one_in,
        };
        if sampler.draw("byzantine.one_in", chance) > 1 {
            return vec![];
        }
        let count = sampler.draw("byzantine.count", self.count);
        let count = count.min(tolerated);
        let first = roster.first_replaceable();
        let others = roster.validators - first;
        let numbers = sampler.subset("byzantine.validators", Sampled::fixed(count), others);
        let plan = |n: u16| {
            let validator = first + n;
            let last = self.strategies.len().saturating_sub(1);
            let which = Sampled {
                low: 0,
                high: last as u64,
            };
            let which = sampler.draw(&format!("byzantine.{validator}.behaviour"), which);
            let strategy = *self.strategies.get(which as usize)?;
            let program = match strategy {
                ByzantineStrategy::Program => {
                    program(&mut sampler.stream(&format!("byzantine.{validator}.program")))
                }
                _ => vec![],
            };
            Some(ByzantinePlan {
                validator,
                strategy,
                program,
            })
        };
        numbers.into_iter().filter_map(plan).collect()
    }

    /// Checks the section for scenarios with at least the roster `smallest` and at most `most` validators.
    pub(super) fn check(
        &self,
        source: &Source<'_>,
        smallest: Roster,
        most: u16,
        can_be_single: bool,
    ) -> Result<(), InputError> {
        let wrong = |key: &str, message: String| Err(source.error(key, message));
        if self.one_in == 0 {
            return wrong(
                "byzantine.one_in",
                "0 is too low: expected at least 1".into(),
            );
        }
        if self.strategies.is_empty() {
            return wrong(
                "byzantine.strategies",
                "is empty: expected at least one".into(),
            );
        }
        let f = most_byzantine(most);
        if self.count.high > f {
            let message = format!("is too high: {most} validators tolerate at most {f}");
            return wrong("byzantine.count", message);
        }
        let f = most_byzantine(smallest.validators);
        if self.each.len() > usize::from(f) {
            let message = format!(
                "has {} entries: {} validators tolerate at most {f}",
                self.each.len(),
                smallest.validators
            );
            return wrong("byzantine.each", message);
        }
        let first = u16::from(can_be_single);
        for (position, byzantine) in self.each.iter().enumerate() {
            let n = byzantine.validator;
            let message = if !(first..smallest.validators).contains(&n) {
                let last = smallest.validators - 1;
                format!("is {n}: expected {first} to {last}, which are replaceable in every run")
            } else if self.each[..position].iter().any(|b| b.validator == n) {
                format!("is {n}, which is listed already: expected each validator once")
            } else {
                check_program(byzantine, source, &format!("byzantine.each.{position}"))?;
                continue;
            };
            return wrong(&format!("byzantine.each.{position}.validator"), message);
        }
        Ok(())
    }
}

/// Checks the program of the validator at `path`.
fn check_program(
    byzantine: &ByzantinePlan,
    source: &Source<'_>,
    path: &str,
) -> Result<(), InputError> {
    let has_program = !byzantine.program.is_empty();
    if has_program != (byzantine.strategy == ByzantineStrategy::Program) {
        let message = "expected moves if and only if the strategy is `program`";
        return Err(source.error(&format!("{path}.program"), message));
    }
    for (position, step) in byzantine.program.iter().enumerate() {
        for (key, number, range) in [
            ("rounds", step.rounds, Move::ROUNDS),
            ("twins", step.twins, Move::TWINS),
        ] {
            let key = format!("{path}.program.{position}.{key}");
            within(number.into(), &range).map_err(|e| source.error(&key, e.to_string()))?;
        }
    }
    Ok(())
}

/// Moves that deviate in a few respects each, some of them in none.
fn program(stream: &mut Stream) -> Vec<Move> {
    let moves = 1 + stream.below(MOST_MOVES);
    let step = |_| {
        let mut step = Move {
            rounds: 1 + stream.low(MOST_ROUNDS) as u16,
            ..Move::default()
        };
        for _ in 0..stream.below(MOST_DEVIATIONS + 1) {
            deviate(&mut step, stream);
        }
        step
    };
    (0..moves).map(step).collect()
}

fn deviate(step: &mut Move, stream: &mut Stream) {
    fn one_of<T: Copy>(stream: &mut Stream, all: &[T]) -> T {
        all[stream.below(all.len() as u64) as usize]
    }
    match stream.below(12) {
        0 | 1 => step.twins = 2 + stream.low(2) as u16,
        2 => step.round = one_of(stream, BlockRound::ALL),
        3 => step.ancestors = one_of(stream, Ancestors::ALL),
        4 => step.payload = one_of(stream, Payload::ALL),
        5 => step.votes = one_of(stream, Votes::ALL),
        6 => step.signature = one_of(stream, Signature::ALL),
        7 => step.end_of_epoch = true,
        8 => step.shown_to = one_of(stream, Audience::ALL),
        9 => step.extra = one_of(stream, Extra::ALL),
        10 => step.answers = one_of(stream, Answers::ALL),
        _ => step.welcomes = one_of(stream, Welcomes::ALL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(byzantine: &Byzantine, executors: u16, seed: u64) -> Vec<ByzantinePlan> {
        let roster = Roster {
            validators: 7,
            executors,
            changes: false,
        };
        byzantine.draw(&Sampler::of_seed(seed), roster, 2)
    }

    #[test]
    fn every_strategy_and_every_replaceable_validator_is_drawn() {
        let byzantine = Byzantine {
            count: Sampled { low: 0, high: 2 },
            ..Byzantine::default()
        };
        for executors in [1, 7] {
            let mut seen = [vec![], vec![]];
            let mut counts = [0; 3];
            for seed in 0..300 {
                let plans = drawn(&byzantine, executors, seed);
                counts[plans.len()] += 1;
                assert!(plans.is_sorted_by(|a, b| a.validator < b.validator));
                for plan in plans {
                    seen[0].push(plan.strategy as u16);
                    seen[1].push(plan.validator);
                }
            }
            for seen in &mut seen {
                seen.sort_unstable();
                seen.dedup();
            }
            let first = u16::from(executors == 1);
            assert_eq!(seen[0].len(), ByzantineStrategy::ALL.len());
            assert_eq!(seen[1], (first..7).collect::<Vec<_>>());
            assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
        }
    }

    #[test]
    fn every_choice_of_a_move_is_drawn_and_most_are_honest() {
        let byzantine = Byzantine {
            strategies: vec![ByzantineStrategy::Program],
            ..Byzantine::default()
        };
        let plans = (0..300).flat_map(|seed| drawn(&byzantine, 7, seed));
        let moves: Vec<Move> = plans.flat_map(|plan| plan.program).collect();
        let count = |is: &dyn Fn(&Move) -> bool| moves.iter().filter(|step| is(step)).count();
        for answers in Answers::ALL {
            assert!(count(&|step| step.answers == *answers) > 5, "{answers:?}");
        }
        for welcomes in Welcomes::ALL {
            assert!(
                count(&|step| step.welcomes == *welcomes) > 5,
                "{welcomes:?}"
            );
        }
        for payload in Payload::ALL {
            assert!(count(&|step| step.payload == *payload) > 5, "{payload:?}");
        }
        let honest = count(&|step| step.ancestors == Ancestors::Newest);
        assert!((moves.len() / 2..moves.len()).contains(&honest));
        assert!(count(&|step| step.twins > 1) > moves.len() / 5);
        assert!(
            count(&|step| *step
                == Move {
                    rounds: step.rounds,
                    ..Move::default()
                })
                > moves.len() / 8
        );
    }

    #[test]
    fn programs_that_cannot_be_carried_out_are_refused_with_their_key() {
        for (each, error) in [
            (
                "strategy = \"program\"",
                "`byzantine.each.0.program`: expected moves",
            ),
            (
                "strategy = \"lying\"\nprogram = [{}]",
                "`byzantine.each.0.program`: expected moves",
            ),
            (
                "strategy = \"program\"\nprogram = [{}, { rounds = 0 }]",
                "`byzantine.each.0.program.1.rounds`",
            ),
            (
                "strategy = \"program\"\nprogram = [{ twins = 17 }]",
                "`byzantine.each.0.program.0.twins`",
            ),
        ] {
            let text = format!("story = \"x\"\n[[byzantine.each]]\nvalidator = 3\n{each}\n");
            let refused = super::super::Scenario::parse("s.toml", &text).expect_err(each);
            assert!(refused.to_string().contains(error), "{refused}");
        }
    }

    #[test]
    fn one_in_n_seeds_has_byzantine_validators() {
        let byzantine = Byzantine {
            one_in: 4,
            ..Byzantine::default()
        };
        let with = (0..400).filter(|seed| !drawn(&byzantine, 7, *seed).is_empty());
        assert!((60..140).contains(&with.count()));
    }
}
