//! `users`: what is known of each person.
//!
//! | | |
//! |---|---|
//! | emits | for each sign-in the person's row, and whether it is the first of its day |
//! | drops | nothing |
//! | key | the person |
//! | time | that of the record |
//! | state | `users`: one row a person, with one number a day |
//!
//! The row is the same in whatever order sign-ins come: name and address are those of the latest.

use std::fmt;

use millstream::serde::{Bincode, HasSerde, Json};
use millstream::{BoxError, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, KeyValueStore};
use serde::{Deserialize, Serialize};

use super::moment::{Day, Moment};
use super::sign_in::SignIn;

pub(super) const STORE: &str = "users";
/// Ten years. The first days go when there are more: a row is read and written whole.
const DAYS_MAX: usize = 3_660;

/// What is known of a person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name at the latest sign-in.
    pub username: String,
    /// The address then.
    pub email: String,
    /// Whether it was known to be the person's.
    pub email_verified: bool,
    /// The picture then.
    pub picture: Option<String>,
    /// The first sign-in.
    pub first: Moment,
    /// The latest.
    pub last: Moment,
    /// How many.
    pub count: u64,
    /// How many of each day, by day.
    pub days: Vec<(Day, u32)>,
}

impl HasSerde for User {
    type Serde = Bincode;
}

/// Without the person: what is printed ends in logs.
impl fmt::Debug for User {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let User { first, last, count, days, .. } = self;
        write!(out, "User({first} to {last}, {count}, {days:?})")
    }
}

impl User {
    /// One who signs in for the first time.
    fn of(sign_in: &SignIn) -> Self {
        Self {
            username: sign_in.username.clone().unwrap_or_default(),
            email: sign_in.email.clone().unwrap_or_default(),
            email_verified: sign_in.email_verified,
            picture: sign_in.picture.clone(),
            first: sign_in.signed_in_at,
            last: sign_in.signed_in_at,
            count: 0,
            days: Vec::new(),
        }
    }

    /// One more sign-in; whether it is the first of its day.
    fn add(&mut self, sign_in: &SignIn) -> bool {
        let at = sign_in.signed_in_at;
        if at > self.last {
            let latest = Self::of(sign_in);
            let (first, count, days) = (self.first, self.count, std::mem::take(&mut self.days));
            *self = Self { first, count, days, ..latest };
        }
        self.first = self.first.min(at);
        self.count += 1;
        match self.days.binary_search_by_key(&at.day(), |(day, _)| *day) {
            Ok(index) => {
                if let Some((_, count)) = self.days.get_mut(index) {
                    *count = count.saturating_add(1);
                }
                false
            }
            Err(index) => {
                self.days.insert(index, (at.day(), 1));
                if self.days.len() > DAYS_MAX {
                    self.days.remove(0);
                }
                true
            }
        }
    }
}

/// A person as a document.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDocument {
    /// The person.
    #[serde(rename = "_id")]
    pub id: String,
    /// The name.
    pub username: String,
    /// The address.
    pub email: String,
    /// The picture.
    pub picture: Option<String>,
    /// When the first sign-in was.
    pub first_sign_in: Moment,
    /// When the latest was.
    pub last_sign_in: Moment,
    /// How many.
    pub count: u64,
    /// How many of each day.
    pub days: Vec<DayCount>,
}

/// The sign-ins of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCount {
    /// The day.
    pub date: String,
    /// How many.
    pub count: u32,
}

impl HasSerde for UserDocument {
    type Serde = Json;
}

/// Without the person.
impl fmt::Debug for UserDocument {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UserDocument { last_sign_in, count, .. } = self;
        write!(out, "UserDocument({last_sign_in}, {count})")
    }
}

impl UserDocument {
    pub(super) fn of(sub: &str, user: User) -> Self {
        let day = |(day, count): (Day, u32)| DayCount { date: day.to_string(), count };
        Self {
            id: sub.to_owned(),
            username: user.username,
            email: user.email,
            picture: user.picture,
            first_sign_in: user.first,
            last_sign_in: user.last,
            count: user.count,
            days: user.days.into_iter().map(day).collect(),
        }
    }
}

/// What came of a sign-in.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub(super) user: User,
    pub(super) day: Day,
    pub(super) is_first_of_day: bool,
}

/// Counts sign-ins by person.
#[derive(Debug)]
pub(super) struct Users(pub(super) KeyValueStore<String, User>);

impl FixedKeyProcessor<String, SignIn> for Users {
    type VOut = Counted;

    fn process(
        &mut self,
        record: FixedKeyRecord<String, SignIn>,
        ctx: &mut FixedKeyContext<'_, String, Counted>,
    ) -> Result<(), BoxError> {
        let sign_in = &record.value;
        let mut user = self.0.get(record.key())?.unwrap_or_else(|| User::of(sign_in));
        let is_first_of_day = user.add(sign_in);
        self.0.put(record.key().clone(), user.clone())?;
        let day = sign_in.signed_in_at.day();
        ctx.forward(record.with_value(Counted { user, day, is_first_of_day }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in(name: &str, at: i64) -> SignIn {
        SignIn {
            sub: "1".to_owned(),
            username: Some(name.to_owned()),
            email: Some(format!("{name}@example.com")),
            email_verified: false,
            picture: None,
            hosted_domain: None,
            issuer: "local".to_owned(),
            signed_in_at: Moment::of_ms(at).unwrap(),
            token_id: at.to_string(),
        }
    }

    #[test]
    fn the_latest_sign_in_names_the_person_whenever_it_comes() {
        let mut user = User::of(&sign_in("b", 2_000));
        assert!(user.add(&sign_in("b", 2_000)));
        assert!(!user.add(&sign_in("c", 3_000)));
        assert!(!user.add(&sign_in("a", 1_000)));
        assert_eq!((user.username.as_str(), user.email.as_str()), ("c", "c@example.com"));
        assert_eq!((user.first.ms(), user.last.ms(), user.count), (1_000, 3_000, 3));
        assert!(user.add(&sign_in("d", 86_400_000)));
        let document = UserDocument::of("1", user);
        let days: Vec<_> = document.days.iter().map(|it| (it.date.as_str(), it.count)).collect();
        assert_eq!(days, [("1970-01-01", 3), ("1970-01-02", 1)]);
        assert!(!format!("{document:?}").contains("example.com"));
    }

    #[test]
    fn of_ten_years_each_day_is_remembered() {
        let mut user = User::of(&sign_in("a", 0));
        for day in 0..4_000 {
            user.add(&sign_in("a", day * 86_400_000));
        }
        assert_eq!((user.days.len(), user.count), (DAYS_MAX, 4_000));
        assert_eq!(
            user.days[0].0.to_string(),
            Moment::of_ms(340 * 86_400_000).unwrap().day().to_string()
        );
    }
}
