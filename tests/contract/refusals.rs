//! Records that a topic refuses for good.

use anyhow::Result;
use millstream::log::{Log, Producer, Refused, TopicPartition};
use millstream::{Error, RefusalKind};

use crate::logs::LogUnderTest;
use crate::workbench::{
    COMMITTED, Sent, plain, put_record, read_all, texts, topic_with, transactional, unique, until,
};

const HOUR_MS: i64 = 3_600_000;

fn limited(log: &dyn Log, name: &str, value: &str) -> Result<TopicPartition> {
    Ok(topic_with(log, 1, &[(name, value)])?.remove(0))
}

fn sent(bytes: usize, timestamp: i64) -> Sent {
    // Not compressible, so that it is as large on the wire.
    let mut bits = 12_345_u32;
    let mut noise = || {
        bits ^= bits << 13;
        bits ^= bits >> 17;
        bits ^= bits << 5;
        bits.to_le_bytes()[0]
    };
    let value = Some((0..bytes).map(|_| noise()).collect());
    Sent { key: Some(b"k".to_vec()), value, timestamp: Some(timestamp), ..Sent::default() }
}

/// Sends it, which goes well, and then hears of the refusal.
fn refused(producer: &mut dyn Producer, at: &TopicPartition, sent: &Sent) -> Result<Vec<Refused>> {
    put_record(producer, at, sent)?;
    let told = producer.flush();
    assert!(matches!(told, Err(Error::Aborted { .. })), "{told:?}");
    Ok(producer.take_refused())
}

fn check(refused: &[Refused], at: &TopicPartition, kind: RefusalKind) {
    assert!(matches!(refused, [one] if one.partition == *at && one.kind == kind), "{refused:?}");
}

/// A batch of one record without headers has so many bytes beside a value of about 1 kB and a key of
/// one byte.
const BESIDE: usize = 61 + 2 + 3 + 2 + 2 + 1;

pub(crate) fn come_after_sending(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = limited(&*log, "max.message.bytes", "1000")?;
    let mut producer = plain(&*log)?;
    let largest = 1_000 - BESIDE;
    put_record(&mut *producer, &at, &sent(largest, 1))?;
    producer.flush()?;
    assert_eq!(producer.take_refused(), []);
    let one_more = refused(&mut *producer, &at, &sent(largest + 1, 1))?;
    check(&one_more, &at, RefusalKind::TooLarge);
    let said = one_more.first().map(|refused| (refused.bytes_max, refused.keyless));
    assert_eq!(said, Some((largest + 2, false)));
    // The producer goes on.
    put_record(&mut *producer, &at, &sent(10, 1))?;
    producer.flush()?;
    let sizes: Vec<_> = read_all(&*log, &at, COMMITTED)?
        .into_iter()
        .map(|seen| seen.value.map(|v| v.len()))
        .collect();
    assert_eq!(sizes, [Some(largest), Some(10)]);
    Ok(())
}

pub(crate) fn at_once_are_those_of_the_client(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = limited(&*log, "max.message.bytes", "1000")?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    producer.begin()?;
    let told = put_record(&mut *producer, &at, &sent(8_000_001, 1));
    let is_told = matches!(&told, Err(Error::Refused { partition, kind: RefusalKind::TooLarge, .. }) if *partition == at);
    assert!(is_told, "{told:?}");
    // The transaction is as it was.
    put_record(&mut *producer, &at, &sent(10, 1))?;
    producer.commit()?;
    until("the record", || Ok(read_all(&*log, &at, COMMITTED)?.pop()))?;
    Ok(())
}

pub(crate) fn end_a_transaction(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = limited(&*log, "max.message.bytes", "1000")?;
    let id = unique("txn");
    let good =
        |text: &str| Sent { value: Some(text.into()), timestamp: Some(1), ..Sent::default() };
    for lost in ["one", "two"] {
        // After such a failure the id is opened anew.
        let mut producer = transactional(&*log, &id)?;
        producer.begin()?;
        put_record(&mut *producer, &at, &good(lost))?;
        check(&refused(&mut *producer, &at, &sent(5_000, 1))?, &at, RefusalKind::TooLarge);
        assert!(producer.commit().is_err());
    }
    let mut producer = transactional(&*log, &id)?;
    producer.begin()?;
    put_record(&mut *producer, &at, &good("three"))?;
    producer.commit()?;
    assert_eq!(producer.take_refused(), []);
    let seen = until("the committed record", || {
        Ok(Some(read_all(&*log, &at, COMMITTED)?).filter(|seen| !seen.is_empty()))
    })?;
    assert_eq!(texts(&seen), ["three"]);
    Ok(())
}

pub(crate) fn are_made_of_times_too_far_ahead(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = limited(&*log, "message.timestamp.after.max.ms", &HOUR_MS.to_string())?;
    let mut producer = plain(&*log)?;
    let now = under_test.now();
    put_record(&mut *producer, &at, &sent(10, now + HOUR_MS / 2))?;
    producer.flush()?;
    let ahead = refused(&mut *producer, &at, &sent(10, now + 2 * HOUR_MS))?;
    check(&ahead, &at, RefusalKind::BadTimestamp);
    assert_eq!(ahead.first().map(|refused| refused.latest), Some(now + 2 * HOUR_MS));
    Ok(())
}

pub(crate) fn are_made_of_keyless_records_in_compacted_topics(
    under_test: &dyn LogUnderTest,
) -> Result<()> {
    let log = under_test.log();
    let at = limited(&*log, "cleanup.policy", "compact")?;
    let mut producer = plain(&*log)?;
    put_record(&mut *producer, &at, &sent(10, 1))?;
    producer.flush()?;
    let keyless = refused(&mut *producer, &at, &Sent { key: None, ..sent(10, 1) })?;
    check(&keyless, &at, RefusalKind::Invalid);
    assert!(keyless.first().is_some_and(|refused| refused.keyless));
    Ok(())
}
