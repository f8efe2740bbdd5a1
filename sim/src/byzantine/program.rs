//! Programs: what a Byzantine validator does, drawn by a seed as plain data, so that it can be replayed and shrunk like
//! a fault. A program is a list of moves that is repeated.
//!
//! The default of every key is what an honest validator does.

use serde::{Deserialize, Serialize};
use std::{fmt, ops::RangeInclusive};

/// What a Byzantine validator does for some rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Move {
    /// Rounds, in [`Self::ROUNDS`].
    pub rounds: u16,
    /// Different blocks in each of these rounds, in [`Self::TWINS`]. Each continues a chain of its own, and each peer gets those
    /// of one chain: two copies of one identity, with a part of the peers each (Bano et al., *Twins*, 2021).
    #[serde(skip_serializing_if = "is_one")]
    pub twins: u16,
    #[serde(skip_serializing_if = "is_default")]
    pub round: BlockRound,
    #[serde(skip_serializing_if = "is_default")]
    pub ancestors: Ancestors,
    #[serde(skip_serializing_if = "is_default")]
    pub payload: Payload,
    #[serde(skip_serializing_if = "is_default")]
    pub votes: Votes,
    #[serde(skip_serializing_if = "is_default")]
    pub signature: Signature,
    /// Whether blocks say that the epoch ends.
    #[serde(skip_serializing_if = "is_default")]
    pub end_of_epoch: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub shown_to: Audience,
    #[serde(skip_serializing_if = "is_default")]
    pub extra: Extra,
    #[serde(skip_serializing_if = "is_default")]
    pub answers: Answers,
    #[serde(skip_serializing_if = "is_default")]
    pub welcomes: Welcomes,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
const fn is_one(number: &u16) -> bool {
    *number == 1
}

impl Default for Move {
    fn default() -> Self {
        Self {
            rounds: 1,
            twins: 1,
            round: BlockRound::default(),
            ancestors: Ancestors::default(),
            payload: Payload::default(),
            votes: Votes::default(),
            signature: Signature::default(),
            end_of_epoch: false,
            shown_to: Audience::default(),
            extra: Extra::default(),
            answers: Answers::default(),
            welcomes: Welcomes::default(),
        }
    }
}

impl Move {
    pub const ROUNDS: RangeInclusive<u64> = 1..=1_000;
    pub const TWINS: RangeInclusive<u64> = 1..=16;

    /// The moves that deviate in one respect less.
    #[must_use]
    pub fn simpler(&self) -> Vec<Self> {
        let simplify: [fn(&mut Self); 12] = [
            |step| step.twins = 1,
            |step| step.round = BlockRound::default(),
            |step| step.ancestors = Ancestors::default(),
            |step| step.payload = Payload::default(),
            |step| step.votes = Votes::default(),
            |step| step.signature = Signature::default(),
            |step| step.end_of_epoch = false,
            |step| step.shown_to = Audience::default(),
            |step| step.extra = Extra::default(),
            |step| step.answers = Answers::default(),
            |step| step.welcomes = Welcomes::default(),
            |step| step.rounds = (step.rounds / 2).max(1),
        ];
        let simpler = simplify.into_iter().map(|simplify| {
            let mut step = *self;
            simplify(&mut step);
            step
        });
        simpler.filter(|step| step != self).collect()
    }
}

/// Declares an enum of choices without data, the first of which is the honest one, with the list of all and the words
/// of a plan's description.
macro_rules! choices {
    ($(
        $(#[$about:meta])*
        $Choice:ident {
            $(#[$honest_meaning:meta])* $Honest:ident,
            $($(#[$meaning:meta])* $Variant:ident: $words:literal,)*
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $Choice {
            $(#[$honest_meaning])* #[default] $Honest,
            $($(#[$meaning])* $Variant,)*
        }

        impl $Choice {
            pub const ALL: &'static [Self] = &[Self::$Honest, $(Self::$Variant,)*];

            /// How it deviates; `None` if it does not.
            const fn words(self) -> Option<&'static str> {
                match self {
                    Self::$Honest => None,
                    $(Self::$Variant => Some($words),)*
                }
            }
        }
    )*};
}

choices! {
    /// The round of the blocks.
    BlockRound {
        Current,
        /// An earlier round, in which there is a block of this validator already.
        Stale: "for earlier rounds",
        /// A round that nobody has reached, mostly within what nodes accept.
        Ahead: "for rounds ahead",
        /// Far beyond what nodes accept.
        FarAhead: "for rounds far ahead",
    }

    /// The ancestors of the blocks.
    Ancestors {
        /// The newest block of everybody.
        Newest,
        /// No more than a quorum of the previous round, and no older ones.
        Quorum: "on a bare quorum",
        /// Less than a quorum of the previous round.
        TooFew: "on too few ancestors",
        /// Some by their older blocks.
        Older: "on older blocks",
        /// One of them does not exist.
        Invented: "on an invented ancestor",
        /// One of them twice.
        Twice: "on an ancestor named twice",
        /// One of them is a forged block of an honest validator, which is served to those who ask.
        Forged: "on a forged block of another",
    }

    /// The transactions of the blocks.
    Payload {
        Nothing,
        /// A few, and one of them twice.
        Few: "with transactions",
        /// As many without a byte as a block may contain.
        ManyEmpty: "with as many empty transactions as a block may contain",
        /// One more.
        TooManyEmpty: "with one empty transaction too many",
        /// As large as links carry.
        Large: "with a large transaction",
        /// One byte more than a block may contain.
        TooLarge: "with a transaction one byte too large",
    }

    /// The votes for commits in the blocks.
    Votes {
        Nothing,
        /// Those of a block of another validator.
        Copied: "with votes of others",
        /// For other commits than those for which others vote.
        Wrong: "with votes for other commits",
        /// For one commit and for another with the same index.
        Both: "with votes for two commits of one index",
    }

    /// The signature of the blocks.
    Signature {
        Valid,
        Empty: "without a signature",
        Noise: "with noise for a signature",
        /// That of the honest block.
        OfAnother: "with the signature of another block",
    }

    /// The peers that are shown a block. Nobody is refused one who asks, unless answers say so.
    Audience {
        Everybody,
        /// Half of them.
        Half: "shown to half",
        /// Less than a quorum even with this validator.
        Few: "shown to few",
        /// The other Byzantine validators.
        Colluders: "shown to colluders",
        Nobody: "shown to nobody",
        /// A round later.
        Late: "shown a round late",
    }

    /// What peers are sent besides the blocks, in some of the rounds.
    Extra {
        Nothing,
        /// The block before, once more.
        Again: "repeats blocks",
        /// A block of the epoch before.
        EarlierEpoch: "sends blocks of the epoch before",
        /// A block of another validator.
        OfAnother: "sends blocks of others as its own",
        Noise: "sends noise",
    }

    /// Answers to requests.
    Answers {
        Truthful,
        /// As they were some rounds ago.
        Outdated: "answers with what is outdated",
        /// Valid but empty.
        Empty: "answers with nothing",
        /// Never.
        Never: "does not answer",
        /// With everything that fits into an answer, requested or not.
        Huge: "answers with everything it has",
        /// Shortly before the peer gives up, or after.
        Slow: "answers slowly",
        Malformed: "answers with noise",
        /// Forged blocks and commits.
        Forged: "answers with forgeries",
    }

    /// The first messages to peers that connect.
    Welcomes {
        Truthful,
        /// The last epoch that a number can express is the one that it has entered.
        LastEpoch: "welcomes in the last of all epochs",
        FirstEpoch: "welcomes in epoch 0",
        OtherChain: "welcomes as one of another chain",
        Never: "welcomes nobody",
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rounds,
            twins,
            round,
            ancestors,
            payload,
            votes,
            signature,
            end_of_epoch,
            shown_to,
            extra,
            answers,
            welcomes,
        } = self;
        let blocks = match twins {
            1 => "a block".to_owned(),
            n => format!("{n} blocks"),
        };
        let words = [
            round.words(),
            ancestors.words(),
            payload.words(),
            votes.words(),
            signature.words(),
            end_of_epoch.then_some("at the end of the epoch"),
            shown_to.words(),
        ];
        write!(f, "{rounds} × {blocks}")?;
        for words in words.into_iter().flatten() {
            write!(f, " {words}")?;
        }
        let others = [extra.words(), answers.words(), welcomes.words()];
        for words in others.into_iter().flatten() {
            write!(f, ", {words}")?;
        }
        Ok(())
    }
}
