//! Usual lines and planted ones in the order of their times.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::planted::{Episode, Label, Write};
use super::usual;

/// The header of a planted line: its label as JSON.
pub(in crate::log_anomaly) const HEADER: &str = "planted";
/// Nothing is planted before everything usual was seen for a while.
const QUIET_MS: i64 = 1_500_000;
/// Between two episodes, so that it is clear which of them was found.
const BETWEEN_MS: i64 = 150_000;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::log_anomaly) struct SampleLine {
    pub(in crate::log_anomaly) at: i64,
    pub(in crate::log_anomaly) line: String,
    /// What it is part of, if it is planted.
    pub(in crate::log_anomaly) label: Option<Label>,
}

/// Makes lines, one after the other.
pub(in crate::log_anomaly) struct Samples {
    random: StdRng,
    /// Lines a second.
    rate: f64,
    /// The part of lines that is planted.
    share: f64,
    now: f64,
    made: u64,
    planted: u64,
    episodes: u32,
    next_episode: i64,
    /// Planted lines that are to come, by time and number.
    waiting: BTreeMap<(i64, u32), (Write, Label)>,
    slower: Option<(f64, i64, Label)>,
}

impl Samples {
    /// Lines from this time on, so many a second, of which this share is planted.
    pub(in crate::log_anomaly) fn new(seed: u64, start: i64, rate: f64, share: f64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            rate,
            share,
            now: start as f64,
            made: 0,
            planted: 0,
            episodes: 0,
            next_episode: start.saturating_add(QUIET_MS),
            waiting: BTreeMap::new(),
            slower: None,
        }
    }

    /// The next line.
    pub(in crate::log_anomaly) fn next(&mut self) -> SampleLine {
        self.plant();
        let made = match self.waiting.first_key_value() {
            Some(((at, _), _)) if (*at as f64) <= self.now => self.waiting_line(),
            _ => self.usual_line(),
        };
        self.made += 1;
        self.planted += u64::from(made.label.is_some());
        made
    }

    fn waiting_line(&mut self) -> SampleLine {
        match self.waiting.pop_first() {
            Some(((at, _), (line, label))) => SampleLine { at, line: line(at), label: Some(label) },
            None => self.usual_line(),
        }
    }

    fn usual_line(&mut self) -> SampleLine {
        let at = self.now as i64;
        // Lines come by chance, at this rate.
        let chance: f64 = self.random.random_range(f64::EPSILON..1.0);
        self.now += -chance.ln() * 1_000.0 / self.rate.max(0.001);
        if let Some((_, until, _)) = &self.slower
            && at >= *until
        {
            self.slower = None;
        }
        let slower = self.slower.as_ref().map_or(1.0, |(times, ..)| *times);
        let (line, is_shop) = usual::line(&mut self.random, at, slower);
        let label = self.slower.as_ref().filter(|_| is_shop).map(|(.., label)| label.clone());
        SampleLine { at, line, label }
    }

    /// Begins an episode when one is due: what was planted is behind its share.
    fn plant(&mut self) {
        let at = self.now as i64;
        let is_behind = (self.planted as f64) < self.share * self.made as f64;
        if self.share <= 0.0 || at < self.next_episode || !is_behind {
            return;
        }
        let episode = Episode::next(self.episodes, &mut self.random);
        let mut end = at;
        for (nth, (after_ms, line)) in (0..).zip(episode.lines) {
            end = end.max(at + after_ms);
            self.waiting.insert((at + after_ms, nth), (line, episode.label.clone()));
        }
        if let Some((times, ms)) = episode.slower {
            end = end.max(at + ms);
            self.slower = Some((times, at + ms, episode.label));
        }
        self.episodes += 1;
        self.next_episode = end + BETWEEN_MS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_anomaly::line::{Reader, ReaderSettings};

    const START: i64 = 1_795_305_600_000;

    fn lines(seed: u64, share: f64, count: usize) -> Vec<SampleLine> {
        let mut samples = Samples::new(seed, START, 20.0, share);
        (0..count).map(|_| samples.next()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_lines_in_the_order_of_their_times() {
        let made = lines(1, 0.01, 50_000);
        assert_eq!(made, lines(1, 0.01, 50_000));
        assert_ne!(made, lines(2, 0.01, 50_000));
        assert!(made.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let took = (made[49_999].at - START) as f64 / 1_000.0;
        assert!((2_300.0..2_700.0).contains(&took), "{took} s at 20 lines/s");
    }

    #[test]
    fn the_share_is_kept_and_every_line_can_be_read() {
        let made = lines(7, 0.01, 100_000);
        let planted = made.iter().filter(|it| it.label.is_some()).count();
        assert!((700..=1_400).contains(&planted), "{planted}");
        let kinds: std::collections::BTreeSet<_> =
            made.iter().filter_map(|it| it.label.as_ref()).map(|label| label.kind).collect();
        assert!(kinds.len() >= 8, "{kinds:?}");
        assert!(lines(7, 0.0, 50_000).iter().all(|it| it.label.is_none()));
        let reader = Reader::new(ReaderSettings::default());
        for sample in &made {
            let read = reader.read(sample.line.as_bytes(), sample.at).unwrap();
            assert!(read.oddities.is_empty(), "{sample:?}");
            assert!((read.line.timestamp - sample.at).abs() < 1_000, "{sample:?}");
        }
    }
}
