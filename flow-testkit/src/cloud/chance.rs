//! Chance that is the same in every run: splitmix64.

/// A seeded source of numbers.
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// True with this probability.
    pub(super) fn strikes(&mut self, probability: f64) -> bool {
        // Ten digits are finer than any weight.
        let draw = u32::try_from(self.next() >> 32).unwrap_or(0);
        f64::from(draw) < probability * (f64::from(u32::MAX) + 1.0)
    }

    /// A name in the form of a random UUID.
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48) & 0x3fff,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_strikes_a_tenth_of_the_time() {
        let mut chance = Chance::new(1);
        let struck = (0..10_000).filter(|_| chance.strikes(0.1)).count();
        assert!((910..=1090).contains(&struck), "{struck}");
        assert!(!(0..1000).any(|_| chance.strikes(0.0)));
        assert!((0..1000).all(|_| chance.strikes(1.0)));
    }

    #[test]
    fn a_name_has_the_form_of_a_uuid() {
        let name = Chance::new(7).uuid();
        let lengths: Vec<_> = name.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(name.as_bytes()[14], b'4');
    }
}
