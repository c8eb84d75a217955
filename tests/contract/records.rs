//! What a record keeps on its way through a log.

use anyhow::Result;
use millstream::record::Headers;

use crate::logs::LogUnderTest;
use crate::workbench::{
    COMMITTED, Reading, Sent, offsets, partition, plain, put, put_record, read_all, texts, unique,
};

pub(crate) fn keep_their_order(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut producer = plain(&*log)?;
    let sent: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
    for value in &sent {
        put(&mut *producer, &at, value)?;
    }
    producer.flush()?;
    let seen = read_all(&*log, &at, COMMITTED)?;
    assert_eq!(texts(&seen), sent);
    assert_eq!(offsets(&seen), (0..10_000).collect::<Vec<i64>>());
    let mut reading = Reading::join(&*log, &unique("group"), std::slice::from_ref(&at))?;
    reading.until_owns(1)?;
    assert_eq!(texts(&reading.pull(&at, sent.len())?), sent);
    Ok(())
}

pub(crate) fn keep_null_and_empty_apart(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut producer = plain(&*log)?;
    let kinds = [None, Some(Vec::new()), Some(vec![0])];
    let all: Vec<_> =
        kinds.iter().flat_map(|k| kinds.iter().map(|v| (k.clone(), v.clone()))).collect();
    for (key, value) in &all {
        let (key, value) = (key.clone(), value.clone());
        put_record(&mut *producer, &at, &Sent { key, value, ..Sent::default() })?;
    }
    producer.flush()?;
    let seen = read_all(&*log, &at, COMMITTED)?;
    let seen: Vec<_> = seen.into_iter().map(|seen| (seen.key, seen.value)).collect();
    assert_eq!(seen, all);
    Ok(())
}

pub(crate) fn keep_their_headers(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut headers = Headers::default();
    headers.push("twice", Some(b"1".to_vec()));
    headers.push("null", None);
    headers.push("twice", Some(b"2".to_vec()));
    headers.push("empty", Some(Vec::new()));
    headers.push("bytes", Some(vec![0, 255]));
    let mut producer = plain(&*log)?;
    let mut sent = Vec::new();
    for value in [None, Some(Vec::new()), Some(b"value".to_vec()), Some(vec![0; 300])] {
        for headers in [headers.clone(), Headers::default(), one_header()] {
            put_record(
                &mut *producer,
                &at,
                &Sent { value: value.clone(), headers: headers.clone(), ..Sent::default() },
            )?;
            sent.push((value.clone(), headers));
        }
    }
    producer.flush()?;
    let seen = read_all(&*log, &at, COMMITTED)?;
    let seen: Vec<_> = seen.into_iter().map(|seen| (seen.value, seen.headers)).collect();
    assert_eq!(seen, sent);
    Ok(())
}

fn one_header() -> Headers {
    let mut headers = Headers::default();
    headers.push("", Some(Vec::new()));
    headers
}

pub(crate) fn keep_their_timestamps(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut producer = plain(&*log)?;
    // Not 0: librdkafka takes that for "now", so nobody may rely on it.
    for timestamp in [Some(1), Some(1_600_000_000_000), Some(5), None] {
        put_record(&mut *producer, &at, &Sent { timestamp, ..Sent::default() })?;
    }
    producer.flush()?;
    let seen = read_all(&*log, &at, COMMITTED)?;
    let mut seen: Vec<_> = seen.iter().map(|seen| seen.timestamp).collect();
    assert!(seen.pop().is_some_and(|time_of_sending| time_of_sending >= 0));
    assert_eq!(seen, [1, 1_600_000_000_000, 5]);
    Ok(())
}

pub(crate) fn may_be_big(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut producer = plain(&*log)?;
    for filling in 0..5_u8 {
        // Not compressible, so that it is big on the wire too.
        let mut bits = u32::from(filling) + 1;
        let value = (0..900_000)
            .map(|_| {
                bits ^= bits << 13;
                bits ^= bits >> 17;
                bits ^= bits << 5;
                bits.to_le_bytes()[0]
            })
            .collect();
        let key = Some(vec![filling]);
        put_record(&mut *producer, &at, &Sent { key, value: Some(value), ..Sent::default() })?;
    }
    producer.flush()?;
    let mut reading = Reading::join(&*log, &unique("group"), std::slice::from_ref(&at))?;
    reading.until_owns(1)?;
    let seen = reading.pull(&at, 5)?;
    let keys: Vec<_> = seen.iter().map(|seen| seen.key.clone()).collect();
    assert_eq!(keys, (0..5).map(|i| Some(vec![i])).collect::<Vec<_>>());
    assert!(seen.iter().all(|seen| seen.value.as_ref().is_some_and(|v| v.len() == 900_000)));
    assert_eq!(seen, read_all(&*log, &at, COMMITTED)?);
    Ok(())
}

pub(crate) fn report_their_offsets_after_flush(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut producer = plain(&*log)?;
    let topic = producer.topic(&at.topic)?;
    assert_eq!(producer.acknowledged(topic, 0), None);
    for value in ["a", "b", "c"] {
        put(&mut *producer, &at, value)?;
    }
    producer.flush()?;
    assert_eq!(producer.acknowledged(topic, 0), Some(2));
    Ok(())
}
