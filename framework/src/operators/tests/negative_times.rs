//! Records to which a processor gives a time before all times: Kafka Streams refuses to make them.

use std::time::Duration;

use crate::BoxError;
use crate::operators::{FixedKeyContext, FixedKeyProcessor, FixedKeyRecord};
use crate::policy::{DropReason, OnError};
use crate::record::Timestamp;
use crate::testing::{TopologyDriver, text};
use crate::time::{JoinWindows, TimeWindows};
use crate::topology::StreamsBuilder;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// True if it was refused, counted, or came out.
fn is_known_of(driver: &mut TopologyDriver, values: &[&str]) -> bool {
    for (value, at) in values.iter().zip(1..) {
        if driver.pipe("in", &text("k", value, at)).is_err() {
            return true;
        }
    }
    let dropped: u64 = DropReason::ALL.iter().map(|reason| driver.dropped(*reason)).sum();
    let out = driver.read::<String, String>("out").unwrap();
    dropped > 0 || out.iter().any(|record| record.value.contains("-5"))
}

#[test]
fn who_meets_nobody_is_not_lost() {
    let builder = StreamsBuilder::new();
    let within = JoinWindows::within(MS(10)).no_grace();
    let right = builder.stream::<String, String>("r");
    let left = builder.stream::<String, String>("in").process_values("t", (), |()| Times);
    left.left_join("j", &right, within, |l, _| l.clone()).to("out");
    let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
    assert!(is_known_of(&mut driver, &["-5", "1000", "2000"]));
}

#[test]
fn what_is_in_no_window_is_counted() {
    let builder = StreamsBuilder::new();
    let left = builder.stream::<String, String>("in").process_values("t", (), |()| Times);
    let windows = TimeWindows::of(MS(10)).no_grace();
    let counts = left.group_by_key().windowed_by(windows).count("n").updates();
    counts.map(|window, count| (window.key, format!("{} {count}", window.start))).to("out");
    let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
    assert!(is_known_of(&mut driver, &["-5"]));
}

/// Gives each record the time that its value says.
struct Times;

impl FixedKeyProcessor<String, String> for Times {
    type VOut = String;

    fn process(
        &mut self,
        mut record: FixedKeyRecord<String, String>,
        ctx: &mut FixedKeyContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        record.timestamp = Timestamp(record.value.parse()?);
        ctx.forward(record);
        Ok(())
    }
}

/// By policy, as what a processor refuses itself.
#[test]
fn a_processor_that_makes_them_is_refused_by_its_policy() {
    let topology = |policy: OnError| {
        let builder = StreamsBuilder::new();
        let left = builder.stream::<String, String>("in").process_values("t", (), |()| Times);
        left.on_error(policy).to("out");
        builder.build().unwrap()
    };
    let mut fails = TopologyDriver::new(&topology(OnError::Fail)).unwrap();
    let refused = format!("{:?}", fails.pipe("in", &text("k", "-5", 1)));
    assert!(refused.contains("the timestamp -5: it is negative"), "{refused}");
    let mut letters = TopologyDriver::new(&topology(OnError::DeadLetter("bad".into()))).unwrap();
    for value in ["-5", "7"] {
        letters.pipe("in", &text("k", value, 1)).unwrap();
    }
    assert_eq!(letters.read::<String, String>("bad").unwrap().len(), 1);
    assert_eq!(letters.read::<String, String>("out").unwrap(), [text("k", "7", 7)]);
}
