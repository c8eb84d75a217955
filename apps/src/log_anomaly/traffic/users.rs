//! How many different users there were: HyperLogLog, in the bytes of Apache DataSketches.

use datasketches::hll::{HllSketch, HllType, HllUnion};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 4,096 registers: a standard error of 1.6 %.
const LG_REGISTERS: u8 = 12;

/// A set of users of which only the number is known. Empty ones take no room.
#[derive(Clone, Default)]
pub(super) struct Users(Option<HllSketch>);

impl Users {
    /// Adds one, by a hash of the name.
    pub(super) fn add(&mut self, user: u64) {
        if self.0.is_none() {
            self.0 = HllSketch::new(LG_REGISTERS, HllType::Hll8).ok();
        }
        if let Some(sketch) = &mut self.0 {
            sketch.update(user);
        }
    }

    /// Adds all of another set.
    pub(super) fn merge(&mut self, other: &Self) {
        let (Some(own), Some(other)) = (&self.0, &other.0) else {
            if self.0.is_none() {
                self.0.clone_from(&other.0);
            }
            return;
        };
        if let Ok(mut union) = HllUnion::new(LG_REGISTERS) {
            union.update(own);
            union.update(other);
            self.0 = Some(union.to_sketch(HllType::Hll8));
        }
    }

    /// About how many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |sketch| sketch.estimate().round() as u64)
    }
}

impl Serialize for Users {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().map(HllSketch::serialize).unwrap_or_default().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        HllSketch::deserialize(&bytes).map(|sketch| Self(Some(sketch))).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_within_three_percent_also_of_merged_and_kept_sets() {
        for wanted in [0_u64, 1, 10, 100, 1_000, 10_000, 100_000] {
            let (mut left, mut right) = (Users::default(), Users::default());
            for user in 0..wanted {
                // Half of them in both.
                if user % 2 == 0 || user % 4 == 1 {
                    left.add(user.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                }
                if user % 2 == 0 || user % 4 == 3 {
                    right.add(user.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                }
            }
            left.merge(&right);
            let json = serde_json::to_vec(&left).unwrap();
            let kept: Users = serde_json::from_slice(&json).unwrap();
            let off = (kept.count() as f64 - wanted as f64).abs() / (wanted.max(1) as f64);
            assert!(off <= 0.03, "{} of {wanted}", kept.count());
        }
    }
}
