//! The hash of a left row: the 128 bits of Murmur3 (x64) with Kafka's seed.

/// As it stands in subscriptions and answers.
pub(super) type Hash = [u8; 16];

const SEED: u64 = 104_729;
const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// The hash of some bytes.
pub(super) fn hash_of(bytes: &[u8]) -> Hash {
    murmur3(bytes, SEED)
}

fn murmur3(bytes: &[u8], seed: u64) -> Hash {
    let (mut first, mut second) = (seed, seed);
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let (low, high) = halves(block);
        first = (first ^ mixed_low(low)).rotate_left(27).wrapping_add(second);
        first = first.wrapping_mul(5).wrapping_add(0x52dc_e729);
        second = (second ^ mixed_high(high)).rotate_left(31).wrapping_add(first);
        second = second.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    // Zeros mix to zero, so what the tail lacks changes nothing.
    let mut rest = [0; 16];
    for (place, byte) in rest.iter_mut().zip(tail) {
        *place = *byte;
    }
    let (low, high) = halves(&rest);
    first ^= mixed_low(low);
    second ^= mixed_high(high);
    first ^= bytes.len() as u64;
    second ^= bytes.len() as u64;
    first = first.wrapping_add(second);
    second = second.wrapping_add(first);
    (first, second) = (avalanche(first), avalanche(second));
    first = first.wrapping_add(second);
    second = second.wrapping_add(first);
    ((u128::from(first) << 64) | u128::from(second)).to_be_bytes()
}

/// The little-endian numbers of a block.
fn halves(block: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*block);
    (both as u64, (both >> 64) as u64)
}

fn mixed_low(word: u64) -> u64 {
    word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mixed_high(word: u64) -> u64 {
    word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn avalanche(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves_of(bytes: &[u8], seed: u64) -> (i64, i64) {
        let both = u128::from_be_bytes(murmur3(bytes, seed));
        (((both >> 64) as u64).cast_signed(), (both as u64).cast_signed())
    }

    /// Vectors of Kafka's `Murmur3Test`, whose seed is 123: shorter than a block, and of more than one.
    #[test]
    fn hashes_as_java_does() {
        let cases: [(&str, i64, i64); 6] = [
            ("21", 5_857_341_059_704_281_894, -5_288_187_638_297_930_763),
            ("foobar", -351_361_463_397_418_609, 8_959_716_011_862_540_668),
            ("a-little-bit-long-string", 8_836_256_500_583_638_442, -198_172_363_548_498_523),
            ("a-little-bit-longer-string", 1_838_346_159_335_108_511, 8_794_688_210_320_490_705),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -4_024_021_876_037_397_259,
                -1_482_317_706_335_141_238,
            ),
            ("abc", 1_489_494_923_063_836_066, -5_440_978_547_625_122_829),
        ];
        for (text, first, second) in cases {
            assert_eq!(halves_of(text.as_bytes(), 123), (first, second), "{text}");
        }
    }

    /// From the recording of Kafka Streams.
    #[test]
    fn the_seed_is_that_of_kafka_streams() {
        let recorded: Hash = 0xd7f9_a543_6aed_e827_01c9_956f_06f4_f6a5_u128.to_be_bytes();
        assert_eq!(hash_of(b"l0"), recorded);
    }
}
