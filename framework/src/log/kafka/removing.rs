//! Deletes records, topics and groups, and commits positions of groups without members.

use rdkafka::error::RDKafkaErrorCode as Code;

use super::admin::{Admin, Asking, CREATED_PAUSE, wait};
use super::{error, groups, queue};
use crate::error::{Error, Result};
use crate::log::Committed;
use crate::log::deadline::Deadline;
use crate::log::kafka::membership::list_of;
use crate::record::TopicPartition;

impl Admin {
    /// Deletes topics and waits until they are gone.
    pub(super) fn delete_topics(&self, topics: &[&str]) -> Result<()> {
        if topics.is_empty() {
            return Ok(());
        }
        let client = self.changing()?;
        let results = wait(client.client.delete_topics(topics, &self.options()))
            .map_err(|error| self.admin_error("deletion of topics", &error))?;
        for result in results {
            match result {
                Ok(_) | Err((_, Code::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => return Err(error::topic_refused("deletion", topic, code)),
            }
        }
        let deadline = Deadline::after(self.patience());
        for topic in topics {
            while self.describe(topic)?.is_some() {
                if deadline.passed() {
                    return Err(Error::Unavailable {
                        what: format!("deletion of {topic}"),
                        reason: "the topic is deleted but still shown".to_owned(),
                    });
                }
                deadline.rest(CREATED_PAUSE);
            }
        }
        Ok(())
    }

    /// How many members a group has.
    pub(super) fn group_members(&self, group: &str) -> Result<usize> {
        let client = self.asking(Asking::Ends(false))?;
        groups::members(&client, group, self.patience())
            .map_err(|code| error::from_code(&format!("members of group {group}"), None, code, ""))
    }

    /// Deletes a group without members.
    pub(super) fn delete_group(&self, group: &str) -> Result<()> {
        let client = self.changing()?;
        let what = format!("deletion of group {group}");
        let results = wait(client.client.delete_groups(&[group], &self.options()))
            .map_err(|error| self.admin_error(&what, &error))?;
        for result in results {
            match result {
                Ok(_) | Err((_, Code::GroupIdNotFound)) => {}
                Err((group, code)) => return Err(group_error(&what, &group, code)),
            }
        }
        Ok(())
    }

    /// Notes positions of a group without members.
    pub(super) fn set_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, Committed)],
    ) -> Result<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let client = self.asking(Asking::Group(group.to_owned()))?;
        let list = list_of(offsets)?;
        queue::commit(&client, &list, self.patience())
            .map_err(|code| group_error(&format!("positions of group {group}"), group, code))
    }
}

/// What the broker does not do to a group; the codes say in three ways that somebody is in it.
fn group_error(what: &str, group: &str, code: Code) -> Error {
    match code {
        Code::NonEmptyGroup | Code::UnknownMemberId | Code::StaleMemberEpoch => {
            Error::GroupInUse { group: group.to_owned() }
        }
        code => error::from_code(what, None, code, ""),
    }
}
