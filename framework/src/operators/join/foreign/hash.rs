//! The hash of a left row: the 128 bits of Murmur3 (x64) with Kafka's seed.

/// As it stands in subscriptions and answers.
pub(super) type Hash = [u8; 16];

const SEED: u64 = 104_729;
const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// The hash of some bytes.
pub(super) fn hash_of(bytes: &[u8]) -> Hash {
    let (mut first, mut second) = (SEED, SEED);
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
