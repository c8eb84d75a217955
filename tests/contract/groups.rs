//! Groups: who reads what, and how members learn of it.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;
use millstream::Error;

use crate::logs::LogUnderTest;
use crate::workbench::{
    Event, REFUSED, Reading, committed, position, put_all, retry, texts, topic, unique, until,
    until_share,
};

pub(crate) fn give_a_lone_member_everything(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 3)?;
    let mut reading = Reading::join(&*log, &unique("group"), &all)?;
    assert!(reading.member().generation().is_err());
    reading.until_owns(3)?;
    for at in &all {
        put_all(&*log, at, &[&at.to_string()])?;
    }
    for at in &all {
        assert_eq!(texts(&reading.pull(at, 1)?), [at.to_string()]);
    }
    let heard = reading.leave()?;
    assert!(heard.queues.is_empty());
    let mut revoked: Vec<_> = Vec::new();
    for event in heard.events {
        if let Event::Revoked(some) = event {
            revoked.extend(some);
        }
    }
    revoked.sort();
    assert_eq!(revoked, all);
    Ok(())
}

pub(crate) fn share_partitions_and_give_them_back(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 4)?;
    let group = unique("group");
    let mut first = Reading::join(&*log, &group, &all)?;
    first.until_owns(4)?;
    let mut second = Reading::join(&*log, &group, &all)?;
    until_share(&mut first, &mut second, (2, 2))?;
    assert!(first.heard.events.iter().any(|event| matches!(event, Event::Revoked(_))));
    let mut shared: Vec<_> = first.heard.queues.keys().chain(second.heard.queues.keys()).collect();
    shared.sort();
    assert_eq!(shared, all.iter().collect::<Vec<_>>());
    first.leave()?;
    second.until_owns(4)?;
    for at in &all {
        put_all(&*log, at, &[&at.to_string()])?;
        assert_eq!(texts(&second.pull(at, 1)?), [at.to_string()]);
    }
    Ok(())
}

pub(crate) fn are_deleted_and_placed_only_when_empty(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 2)?;
    let [first, second] = all.as_slice() else { anyhow::bail!("two partitions") };
    let (group, other) = (unique("group"), unique("group"));
    let members = || retry("members of a group", || log.group_members(&group));
    assert_eq!(members()?, 0);
    retry("the end of no group", || log.delete_group(&group))?;
    for name in [&group, &other] {
        retry("positions of an empty group", || {
            log.set_offsets(name, &position(first, 5, "five"))
        })?;
    }
    let mut reading = Reading::join(&*log, &group, &all)?;
    reading.until_owns(2)?;
    assert_eq!(members()?, 1);
    let refused = [log.delete_group(&group), log.set_offsets(&group, &position(second, 6, ""))];
    for refused in refused {
        let text = refused.as_ref().map_or_else(ToString::to_string, |()| "done".to_owned());
        assert!(matches!(refused, Err(Error::GroupInUse { .. })), "{text}");
        assert!(text.contains(&group), "{text}");
    }
    assert_eq!(committed(&*log, &group, first)?, Some(5));
    assert_eq!(committed(&*log, &group, second)?, None);
    reading.leave()?;
    until("an empty group", || Ok((members()? == 0).then_some(())))?;
    retry("the end of a group", || log.delete_group(&group))?;
    assert_eq!(committed(&*log, &group, first)?, None);
    assert_eq!(committed(&*log, &other, first)?, Some(5));
    Ok(())
}

pub(crate) fn let_members_commit_while_revoked(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 2)?;
    let group = unique("group");
    let mut first = Reading::join(&*log, &group, &all)?;
    first.until_owns(2)?;
    let (member, results) = (first.member(), Rc::new(RefCell::new(Vec::new())));
    let noted = Rc::clone(&results);
    first.heard.on_revoked = Some(Box::new(move |removed| {
        for at in removed {
            let done = member.commit(&position(at, 11, "last words"));
            noted.borrow_mut().push((at.clone(), done));
        }
    }));
    let mut second = Reading::join(&*log, &group, &all)?;
    until_share(&mut first, &mut second, (1, 1))?;
    first.heard.on_revoked = None;
    let results = results.take();
    assert!(!results.is_empty());
    for (at, done) in results {
        done?;
        assert_eq!(committed(&*log, &group, &at)?, Some(11));
    }
    Ok(())
}

/// What keeps a member from taking its part ends its poll, and it owns nothing.
pub(crate) fn keep_partitions_from_a_member_that_refuses(
    under_test: &dyn LogUnderTest,
) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 2)?;
    let mut member = Reading::join(&*log, &unique("group"), &all)?;
    member.heard.refuses = true;
    let refused = until("a refused assignment", || Ok(member.poll().err()))?;
    assert!(refused.to_string().contains(REFUSED), "{refused}");
    let heard = member.leave()?;
    assert!(heard.queues.is_empty() && heard.events.is_empty(), "{:?}", heard.events);
    Ok(())
}

pub(crate) fn tell_a_member_whose_session_is_over(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 2)?;
    let group = unique("group");
    let mut reading = Reading::join(&*log, &group, &all)?;
    reading.until_owns(2)?;
    let before = reading.member();
    if !under_test.end_sessions(&group) {
        return Ok(());
    }
    let [at, _] = all.as_slice() else { anyhow::bail!("two partitions") };
    assert!(before.commit(&position(at, 3, "")).is_err());
    reading.until_heard(|event| *event == Event::Lost(all.clone()))?;
    reading.until_owns(2)?;
    reading.member().commit(&position(at, 4, ""))?;
    assert_eq!(committed(&*log, &group, at)?, Some(4));
    Ok(())
}
