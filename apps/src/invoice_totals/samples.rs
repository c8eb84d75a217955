//! Invoices that nobody has to pay: the same for the same seed.

use millstream::record::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::invoice::Invoice;
use super::money::Amount;

const NAMES: [&str; 8] = [
    "Atelier Bleu",
    "Brunel & Fils",
    "Cordier SA",
    "Dupont Logistique",
    "Epicerie du Port",
    "Ferme des Tilleuls",
    "Garage Moreau",
    "Hotel Bellevue",
];
const CENTS_MIN: i64 = 500;
const CENTS_MAX: i64 = 200_000;

/// Makes invoices, one after the other.
#[derive(Debug)]
pub(super) struct Samples {
    random: StdRng,
    clients: u32,
    /// What all numbers begin with: runs that follow one another must not repeat them.
    run: String,
    made: u64,
}

impl Samples {
    pub(super) fn new(seed: u64, clients: u32, run: String) -> Self {
        Self { random: StdRng::seed_from_u64(seed), clients: clients.max(1), run, made: 0 }
    }

    pub(super) fn next(&mut self, now: Timestamp) -> Invoice {
        self.made += 1;
        let client = self.random.random_range(0..self.clients);
        let cents = self.random.random_range(CENTS_MIN..=CENTS_MAX);
        Invoice {
            number: format!("F-{}-{:06}", self.run, self.made),
            client: client_name(client),
            amount: Amount::cents(cents),
            issued_at: Some(now),
        }
    }
}

/// The first ones have names, the others numbers.
fn client_name(index: u32) -> String {
    let named = usize::try_from(index).ok().and_then(|index| NAMES.get(index));
    named.map_or_else(|| format!("Client {:05}", index + 1), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_invoices() {
        let make = |seed| {
            let mut samples = Samples::new(seed, 20, "x".to_owned());
            (0..100).map(|ms| samples.next(Timestamp(ms))).collect::<Vec<_>>()
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
        let clients: std::collections::BTreeSet<_> =
            make(1).into_iter().map(|invoice| invoice.client).collect();
        assert!(clients.len() > 10 && clients.contains("Client 00010"), "{clients:?}");
    }
}
