use std::time::Duration;

/// Durations of the same thing, measured again and again.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// The middle one; zero without any.
    #[must_use]
    pub fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The longest one; zero without any.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }

    /// How many times as long as `other` the middle one takes.
    #[must_use]
    pub fn against(&self, other: &Self) -> f64 {
        self.median().as_secs_f64() / other.median().as_secs_f64()
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        Self(durations.into_iter().collect())
    }
}

impl Extend<Duration> for Samples {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, durations: I) {
        self.0.extend(durations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ms: &[u64]) -> Samples {
        ms.iter().copied().map(Duration::from_millis).collect()
    }

    #[test]
    fn one_slow_sample_does_not_move_the_ratio() {
        assert_eq!(of(&[10, 9_000, 10]).against(&of(&[5, 5, 700])), 2.0);
        assert_eq!((of(&[3, 5, 4]).max(), of(&[]).max()), (Duration::from_millis(5), Duration::ZERO));
        assert_eq!(of(&[]).median(), Duration::ZERO);
    }
}
