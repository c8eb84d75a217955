//! Sign-ins of people who do not exist: the same people in the same order for the same seed. Each one is a token of the
//! local issuer that was admitted like any other.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::anyhow;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use super::admission::{Admission, Login};
use super::issuer::{LOCAL, LocalIssuer, Person};
use super::sign_in::SignIn;
use crate::access::{Fetched, Keys, Nonces, Verifier};

const FIRST: [&str; 12] = [
    "Alma", "Bruno", "Carla", "Dario", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kenza",
    "Luca",
];
const LAST: [&str; 12] = [
    "Arias", "Berger", "Costa", "Duarte", "Engel", "Ferrer", "Gallo", "Haddad", "Ibarra", "Jansen",
    "Keller", "Lopes",
];
const CLIENT: &str = "samples";
const ORIGIN: &str = "http://127.0.0.1";
/// Of so many people one has no address: their sign-ins are nulls.
const WITHOUT_ADDRESS: u32 = 40;
/// Of so many sign-ins one comes twice, as from a browser that asks again.
const TWICE: u32 = 50;

/// Makes sign-ins, one after the other.
#[derive(Debug)]
pub(super) struct Samples {
    random: StdRng,
    issuer: LocalIssuer,
    admission: Admission,
    people: Vec<Person>,
    /// Who has not signed in in this round: nobody does twice in one.
    round: Vec<usize>,
    previous: Option<SignIn>,
}

impl Samples {
    /// With so many people, at least one.
    pub(super) fn new(seed: u64, people: u32) -> anyhow::Result<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let issuer = LocalIssuer::open(IpAddr::V4(Ipv4Addr::LOCALHOST), CLIENT)?;
        let json = issuer.key_set().to_vec();
        let keys = Keys::from(move || Ok(Fetched { json: json.clone(), fresh_for: None }));
        let verifier = Verifier::new(LOCAL, CLIENT);
        let admission = Admission::new(verifier, keys, Nonces::with_own_key(), ORIGIN);
        let known = LocalIssuer::people().into_iter();
        let more = (1..).map(|number| person(number, &mut random));
        let people = known.chain(more).take(people.max(1) as usize).collect();
        Ok(Self { random, issuer, admission, people, round: Vec::new(), previous: None })
    }

    /// The next one, at this time.
    pub(super) fn next(&mut self, now: Timestamp) -> anyhow::Result<SignIn> {
        if let Some(previous) = &self.previous
            && self.random.random_ratio(1, TWICE)
        {
            return Ok(previous.clone());
        }
        if self.round.is_empty() {
            self.round = (0..self.people.len()).collect();
            self.round.shuffle(&mut self.random);
        }
        let index = self.round.pop().unwrap_or_default();
        let person = self.people.get(index).ok_or_else(|| anyhow!("there is nobody"))?;
        let nonce = self.admission.issue_nonce(now);
        let token = self.issuer.token(person, &nonce, now)?;
        let body = json!({ "credential": token }).to_string();
        let login = Login {
            content_type: Some("application/json"),
            body: body.as_bytes(),
            origin: Some(ORIGIN),
            csrf_cookie: None,
            nonce: Some(&nonce),
        };
        let sign_in = self.admission.admit(&login, now)?;
        self.previous = Some(sign_in.clone());
        Ok(sign_in)
    }
}

fn person(number: u32, random: &mut StdRng) -> Person {
    let mut one = |names: &[&'static str; 12]| names.choose(random).copied().unwrap_or_default();
    let (first, last) = (one(&FIRST), one(&LAST));
    let address = || format!("{first}.{last}.{number}@example.com").to_lowercase();
    Person {
        sub: format!("sample-{number}"),
        name: format!("{first} {last}"),
        email: (!number.is_multiple_of(WITHOUT_ADDRESS)).then(address),
        email_verified: !number.is_multiple_of(7),
        hosted_domain: number.is_multiple_of(3).then(|| "example.com".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sign_ins_but_for_their_tokens() {
        let make = |seed| {
            let mut samples = Samples::new(seed, 50).unwrap();
            let mut next = |second: i64| {
                let at = Timestamp::from_second(1_795_341_600 + second).unwrap();
                samples.next(at).unwrap()
            };
            (0..300).map(&mut next).collect::<Vec<_>>()
        };
        let who = |all: &[SignIn]| -> Vec<_> {
            all.iter().map(|it| (it.sub.clone(), it.username.clone(), it.signed_in_at)).collect()
        };
        let (one, again, other) = (make(1), make(1), make(2));
        assert_eq!(who(&one), who(&again));
        assert_ne!(who(&one), who(&other));
        assert_ne!(one[0].token_id, again[0].token_id);
        let people: std::collections::BTreeSet<_> = one.iter().map(|it| &it.sub).collect();
        assert_eq!(people.len(), 50);
        assert!(one.windows(2).any(|two| two[0] == two[1]), "one comes twice");
        assert!(one.iter().any(|it| it.email.is_none()), "one is a null");
    }
}
