//! Ranges, and the labelled random streams of a seed that draw from them. Every value that a scenario leaves open has a
//! label and a stream of its own, so that an additional draw changes no other value.

use metanode_sim::plan::Span;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, marker::PhantomData};

/// A number of a scenario file: fixed, or drawn from `[low, high]`, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampled<T> {
    pub low: T,
    pub high: T,
}

/// The largest number of a scenario: sums and conversions of units cannot overflow.
const LARGEST: u64 = 1_000_000_000;

/// Integers that can be drawn.
pub trait Number: Copy + Ord + fmt::Display + Into<i128> + TryFrom<i128> {}
impl<T: Copy + Ord + fmt::Display + Into<i128> + TryFrom<i128>> Number for T {}

impl<T> From<(T, T)> for Sampled<T> {
    fn from((low, high): (T, T)) -> Self {
        Self { low, high }
    }
}

impl<T: Number> Sampled<T> {
    pub const fn fixed(value: T) -> Self {
        Self {
            low: value,
            high: value,
        }
    }
}

impl<'de, T: Number> Deserialize<'de> for Sampled<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SampledVisitor(PhantomData))
    }
}

impl<T: Number + Serialize> Serialize for Sampled<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.low == self.high {
            self.low.serialize(serializer)
        } else {
            [self.low, self.high].serialize(serializer)
        }
    }
}

struct SampledVisitor<T>(PhantomData<T>);

impl<T: Number> SampledVisitor<T> {
    fn number<E: Error>(value: i64) -> Result<T, E> {
        (value.unsigned_abs() <= LARGEST)
            .then(|| T::try_from(i128::from(value)).ok())
            .flatten()
            .ok_or_else(|| E::custom(format_args!("{value} is out of range for this key")))
    }
}

impl<'de, T: Number> Visitor<'de> for SampledVisitor<T> {
    type Value = Sampled<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or a range [low, high]")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Self::number(value).map(Sampled::fixed)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut ends = Vec::with_capacity(2);
        while let Some(end) = items.next_element::<i64>()? {
            ends.push(end);
        }
        let [low, high] = ends[..] else {
            return Err(A::Error::invalid_length(ends.len(), &self));
        };
        if low > high {
            return Err(A::Error::custom(format_args!(
                "the range [{low}, {high}] is empty: expected the lower end first"
            )));
        }
        Ok(Sampled {
            low: Self::number(low)?,
            high: Self::number(high)?,
        })
    }
}

/// A range of a scenario file from which a run draws many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Each seed draws a range within this one.
    Within(Sampled<u64>),
    /// The range of every seed: `{ low, high }`.
    Exactly(Span),
}

impl Range {
    /// The lowest number that can be drawn.
    #[must_use]
    pub const fn low(&self) -> u64 {
        match self {
            Self::Within(draw) => draw.low,
            Self::Exactly(span) => span.low,
        }
    }
}

impl From<(u64, u64)> for Range {
    fn from(ends: (u64, u64)) -> Self {
        Self::Within(ends.into())
    }
}

impl From<Span> for Range {
    fn from(span: Span) -> Self {
        if span.low == span.high {
            Self::Within(Sampled::fixed(span.low))
        } else {
            Self::Exactly(span)
        }
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Within(draw) => draw.serialize(serializer),
            Self::Exactly(span) => span.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RangeVisitor)
    }
}

struct RangeVisitor;

impl<'de> Visitor<'de> for RangeVisitor {
    type Value = Range;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a whole number, a range [low, high], or { low, high } for the same range in every seed",
        )
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        SampledVisitor(PhantomData)
            .visit_i64(value)
            .map(Range::Within)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        SampledVisitor(PhantomData)
            .visit_seq(items)
            .map(Range::Within)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        let span = Span::deserialize(MapAccessDeserializer::new(entries))?;
        if span.low > span.high || span.high > LARGEST {
            return Err(A::Error::custom(format_args!(
                "{{ low = {}, high = {} }} is not a range: expected the lower end first, and at most {LARGEST}",
                span.low, span.high
            )));
        }
        Ok(Range::Exactly(span))
    }
}

/// The random streams of one seed.
#[derive(Clone)]
pub struct Sampler {
    key: [u8; 32],
    is_biased_low: bool,
}

/// One random stream, for several draws in a row.
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.within(Sampled {
            low: 0,
            high: bound.saturating_sub(1),
        })
    }

    /// True in one of `draws` draws, never if that is 0.
    pub fn one_in(&mut self, draws: u64) -> bool {
        draws > 0 && self.below(draws) == 0
    }

    /// A number in the range.
    pub fn within<T: Number>(&mut self, range: Sampled<T>) -> T {
        within(&mut self.0, range)
    }

    /// A number up to `high`, mostly small: every number of binary digits is equally likely.
    pub fn low(&mut self, high: u64) -> u64 {
        within_low(&mut self.0, Sampled { low: 0, high })
    }
}

impl Sampler {
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self {
            key: blake3::derive_key("metasim: what a scenario leaves open", &seed.to_le_bytes()),
            is_biased_low: false,
        }
    }

    /// The same sampler, but numbers mostly come from the low end of their range, as those of [`Stream::low`].
    #[must_use]
    pub fn biased_low(&self) -> Self {
        Self {
            is_biased_low: true,
            ..self.clone()
        }
    }

    /// A sampler of its own, with all streams anew.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self {
            key: *blake3::keyed_hash(&self.key, name.as_bytes()).as_bytes(),
            ..self.clone()
        }
    }

    /// The stream with this label.
    #[must_use]
    pub fn stream(&self, label: &str) -> Stream {
        Stream(self.random(label))
    }

    fn random(&self, label: &str) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(*blake3::keyed_hash(&self.key, label.as_bytes()).as_bytes())
    }

    /// A number in the range.
    pub fn draw<T: Number>(&self, label: &str, range: Sampled<T>) -> T {
        self.pick(&mut self.random(label), range)
    }

    /// The range from which the run draws.
    pub fn span(&self, label: &str, range: Range) -> Span {
        let range = match range {
            Range::Within(draw) => draw,
            Range::Exactly(span) => return span,
        };
        let mut stream = self.random(label);
        let (a, b) = (self.pick(&mut stream, range), self.pick(&mut stream, range));
        Span {
            low: a.min(b),
            high: a.max(b),
        }
    }

    fn pick<T: Number>(&self, stream: &mut ChaCha8Rng, range: Sampled<T>) -> T {
        match self.is_biased_low {
            true => within_low(stream, range),
            false => within(stream, range),
        }
    }

    /// `size` different numbers below `population`, ascending.
    pub fn subset(&self, label: &str, size: Sampled<u16>, population: u16) -> Vec<u16> {
        let mut stream = self.random(label);
        let size = within(&mut stream, size).min(population);
        let mut left: Vec<u16> = (0..population).collect();
        let mut chosen: Vec<u16> = (0..size)
            .map(|taken| {
                let last = Sampled {
                    low: 0,
                    high: population - taken - 1,
                };
                left.swap_remove(usize::from(within(&mut stream, last)))
            })
            .collect();
        chosen.sort_unstable();
        chosen
    }
}

/// Uniform up to a bias of 2^-64 per value of the range.
fn within<T: Number>(stream: &mut ChaCha8Rng, range: Sampled<T>) -> T {
    let (low, high): (i128, i128) = (range.low.into(), range.high.into());
    let count = (high - low + 1).unsigned_abs();
    let offset = (u128::from(stream.next_u64()) * count) >> 64;
    T::try_from(low + offset.cast_signed()).unwrap_or(range.high)
}

/// Draws a power of two up to the size of the range, then an offset below it.
fn within_low<T: Number>(stream: &mut ChaCha8Rng, range: Sampled<T>) -> T {
    let (low, high): (i128, i128) = (range.low.into(), range.high.into());
    let powers = u128::BITS - (high - low).unsigned_abs().leading_zeros();
    let power: u32 = within(
        stream,
        Sampled {
            low: 0,
            high: powers,
        },
    );
    let nearer = (low + (1_i128 << power) - 1).min(high);
    let offset = within(stream, Sampled { low, high: nearer });
    T::try_from(offset).unwrap_or(range.high)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: Sampled<u64> = Sampled { low: 0, high: 9 };

    #[test]
    fn every_number_of_a_range_is_drawn() {
        let mut seen = [0; 10];
        for seed in 0..1000 {
            seen[usize::try_from(Sampler::of_seed(seed).draw("x", DIGITS)).expect("small")] += 1;
        }
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
    }

    #[test]
    fn negative_ranges_and_all_of_u64_can_be_drawn() {
        let skews: Vec<i64> = (0..100)
            .map(|seed| Sampler::of_seed(seed).draw("skew", Sampled { low: -5, high: 5 }))
            .collect();
        assert!(skews.iter().any(|skew| *skew < 0) && skews.iter().any(|skew| *skew > 0));
        let all = Sampled {
            low: 0,
            high: u64::MAX,
        };
        assert_ne!(
            Sampler::of_seed(1).draw("a", all),
            Sampler::of_seed(1).draw("b", all)
        );
    }

    #[test]
    fn labels_draw_independently() {
        let sampler = Sampler::of_seed(7);
        let alone = sampler.draw("b", DIGITS);
        let _ = sampler.draw("a", DIGITS);
        let _ = sampler.subset("c", Sampled::fixed(3), 7);
        assert_eq!(sampler.draw("b", DIGITS), alone);
    }

    #[test]
    fn a_subset_has_its_size_and_no_repetition() {
        for seed in 0..100 {
            let chosen = Sampler::of_seed(seed).subset("s", Sampled { low: 1, high: 3 }, 4);
            assert!((1..=3).contains(&chosen.len()), "{chosen:?}");
            assert!(
                chosen.windows(2).all(|pair| pair[0] < pair[1]),
                "{chosen:?}"
            );
            assert!(chosen.iter().all(|n| *n < 4), "{chosen:?}");
        }
    }
}
