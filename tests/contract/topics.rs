//! Topics, their ends, and what is deleted from them.

use anyhow::{Context, Result};
use millstream::Error;
use millstream::log::{NewTopic, OffsetRange, TopicPartition};

use crate::logs::LogUnderTest;
use crate::workbench::{
    COMMITTED, Reading, Sent, committed, partition, plain, position, put_all, put_record,
    read_texts, texts, topic, unique, until,
};

pub(crate) fn are_created_once(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 3)?;
    let name = all.first().context("a partition")?.topic.to_string();
    let again = |name: &str, partitions| NewTopic {
        name: name.to_owned(),
        partitions,
        replication_factor: 1,
        config: Vec::new(),
    };
    let other = unique("contract");
    log.create(&[again(&name, 5), again(&other, 2)])?;
    let missing = unique("missing");
    let described = crate::workbench::until("the new topic is known", || {
        let described = log.describe(&[&name, &missing, &other])?;
        Ok(described.last().is_some_and(Option::is_some).then_some(described))
    })?;
    let described: Vec<_> =
        described.into_iter().map(|found| found.map(|d| (d.name, d.partitions))).collect();
    assert_eq!(described, [Some((name, 3)), None, Some((other, 2))]);
    Ok(())
}

pub(crate) fn are_listed(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let mut names: Vec<String> = (0..2).map(|_| unique("listed")).collect();
    names.sort();
    let new = |name: &String| {
        let (name, config) = (name.clone(), Vec::new());
        NewTopic { name, partitions: 1, replication_factor: 1, config }
    };
    log.create(&names.iter().map(new).collect::<Vec<_>>())?;
    let listed = || -> Result<Vec<String>> {
        let all = log.topics()?;
        assert!(all.is_sorted(), "{all:?}");
        // The broker's own are not among them, though a group has positions.
        assert!(all.iter().all(|name| !name.starts_with("__")), "{all:?}");
        Ok(all.into_iter().filter(|name| names.contains(name)).collect())
    };
    until("the topics are listed", || Ok((listed()? == names).then_some(())))?;
    let (first, rest) = names.split_first().context("two topics")?;
    log.delete_topics(&[first])?;
    until("the deleted one is listed no more", || Ok((listed()? == rest).then_some(())))
}

pub(crate) fn with_impossible_names_are_refused(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let name = "no spaces allowed".to_owned();
    let new = NewTopic { name, partitions: 1, replication_factor: 1, config: Vec::new() };
    assert!(matches!(log.create(&[new]), Err(Error::Topic { .. })));
    Ok(())
}

pub(crate) fn are_deleted_with_all_they_hold(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let (all, other) = (topic(&*log, 2)?, partition(&*log)?);
    let (group, name) = (unique("group"), all.first().context("a partition")?.topic.to_string());
    for at in all.iter().chain([&other]) {
        put_all(&*log, at, &["a"])?;
        log.set_offsets(&group, &position(at, 1, ""))?;
    }
    log.delete_topics(&[&name, &unique("missing")])?;
    assert!(log.describe(&[&name])?.iter().all(Option::is_none));
    let config = Vec::new();
    let again = NewTopic { name: name.clone(), partitions: 3, replication_factor: 1, config };
    let at = TopicPartition::new(name.as_str(), 0);
    until("the topic is there again", || {
        log.create(std::slice::from_ref(&again))?;
        let described = log.describe(&[&name])?;
        let known = described.iter().flatten().any(|found| found.partitions == 3);
        Ok((known && log.offsets(&at, COMMITTED).is_ok()).then_some(()))
    })?;
    assert_eq!(log.offsets(&at, COMMITTED)?, OffsetRange { earliest: 0, end: 0 });
    put_all(&*log, &at, &["b"])?;
    assert_eq!(read_texts(&*log, &at)?, ["b"]);
    assert_eq!(read_texts(&*log, &other)?, ["a"]);
    assert_eq!(committed(&*log, &group, &other)?, Some(1));
    Ok(())
}

pub(crate) fn may_grow(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let first = partition(&*log)?;
    let (group, name) = (unique("group"), first.topic.to_string());
    put_all(&*log, &first, &["before"])?;
    let mut reading = Reading::join(&*log, &group, std::slice::from_ref(&first))?;
    reading.until_owns(1)?;
    assert_eq!(texts(&reading.pull(&first, 1)?), ["before"]);
    under_test.add_partitions(&name, 3)?;
    assert!(under_test.add_partitions(&name, 2).is_err(), "a topic cannot shrink");
    until("the new partitions are known", || {
        let described = log.describe(&[&name])?;
        Ok(described.iter().flatten().any(|found| found.partitions == 3).then_some(()))
    })?;
    let added = [1, 2].map(|number| TopicPartition::new(name.as_str(), number));
    for at in &added {
        until("a new partition answers", || Ok(log.offsets(at, COMMITTED).ok()))?;
        assert_eq!(log.offset_at(at, 0)?, None);
        put_all(&*log, at, &[&at.to_string()])?;
    }
    // The member gets them without joining again, and goes on with what it had.
    reading.heard.starts.insert(first.clone(), 1);
    reading.until_owns(3)?;
    for at in &added {
        assert_eq!(texts(&reading.pull(at, 1)?), [at.to_string()]);
        reading.member().commit(&position(at, 1, ""))?;
        assert_eq!(committed(&*log, &group, at)?, Some(1));
    }
    put_all(&*log, &first, &["after"])?;
    assert_eq!(texts(&reading.pull(&first, 1)?), ["after"]);
    Ok(())
}

pub(crate) fn know_their_ends(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    assert_eq!(log.offsets(&at, COMMITTED)?, OffsetRange { earliest: 0, end: 0 });
    put_all(&*log, &at, &["a", "b"])?;
    assert_eq!(log.offsets(&at, COMMITTED)?, OffsetRange { earliest: 0, end: 2 });
    Ok(())
}

pub(crate) fn find_offsets_by_time(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    assert_eq!(log.offset_at(&at, 0)?, None);
    let mut producer = plain(&*log)?;
    for timestamp in [100, 300, 200, 400] {
        put_record(&mut *producer, &at, &Sent { timestamp: Some(timestamp), ..Sent::default() })?;
        producer.flush()?;
    }
    let found: Vec<_> =
        [0, 100, 101, 301, 400].iter().map(|t| log.offset_at(&at, *t)).collect::<Result<_, _>>()?;
    assert_eq!(found, [Some(0), Some(0), Some(1), Some(3), Some(3)]);
    assert_eq!(log.offset_at(&at, 401)?, None);
    Ok(())
}

pub(crate) fn lose_what_is_deleted(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 2)?;
    for at in &all {
        put_all(&*log, at, &["a", "b", "c"])?;
    }
    let [first, second] = all.as_slice() else { anyhow::bail!("two partitions") };
    log.delete_records(&[(first.clone(), 2)])?;
    assert_eq!(log.offsets(first, COMMITTED)?, OffsetRange { earliest: 2, end: 3 });
    assert_eq!(read_texts(&*log, first)?, ["c"]);
    assert_eq!(read_texts(&*log, second)?, ["a", "b", "c"]);
    // Below what is gone there is nothing to do, and up to the end is allowed.
    log.delete_records(&[(first.clone(), 1), (second.clone(), 3)])?;
    assert_eq!(log.offsets(first, COMMITTED)?, OffsetRange { earliest: 2, end: 3 });
    assert_eq!(log.offsets(second, COMMITTED)?, OffsetRange { earliest: 3, end: 3 });
    put_all(&*log, second, &["d"])?;
    assert_eq!(log.offsets(second, COMMITTED)?, OffsetRange { earliest: 3, end: 4 });
    assert_eq!(read_texts(&*log, second)?, ["d"]);
    Ok(())
}

pub(crate) fn refuse_to_delete_what_is_not_there(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    put_all(&*log, &at, &["a"])?;
    let refused = log.delete_records(&[(at.clone(), 2)]);
    assert!(matches!(refused, Err(Error::OffsetOutOfRange { .. })), "{refused:?}");
    assert_eq!(read_texts(&*log, &at)?, ["a"]);
    Ok(())
}
