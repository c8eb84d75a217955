//! The log contract: one set of tests, run on the memory log, the embedded log and Kafka.
//!
//! What holds here is what the runtime may rely on. A test polls with a deadline and never sleeps,
//! since Kafka answers in its own time; topics and groups have names of their own, since all tests
//! of a log may share one broker.

mod clients;
mod groups;
mod logs;
mod positions;
mod queues;
mod readers;
mod records;
mod refusals;
mod topics;
mod transactions;
mod workbench;

/// Makes one test per log of each function of the contract.
macro_rules! contract {
    ($($module:ident :: $test:ident,)*) => {
        mod memory {
            $(#[test] fn $test() -> anyhow::Result<()> {
                crate::$module::$test(&crate::logs::Memory::new())
            })*
        }
        mod embedded {
            $(#[test] fn $test() -> anyhow::Result<()> {
                crate::$module::$test(&crate::logs::Embedded::new()?)
            })*
        }
        mod kafka_classic {
            use millstream::log::kafka::GroupProtocol::Classic;
            $(#[test] fn $test() -> anyhow::Result<()> {
                crate::$module::$test(&crate::logs::Kafka::new(Classic)?)
            })*
        }
        mod kafka_consumer {
            use millstream::log::kafka::GroupProtocol::Consumer;
            $(#[test] fn $test() -> anyhow::Result<()> {
                crate::$module::$test(&crate::logs::Kafka::new(Consumer)?)
            })*
        }
    };
}

contract! {
    records::keep_their_order,
    records::keep_null_and_empty_apart,
    records::keep_their_headers,
    records::keep_their_timestamps,
    records::may_be_big,
    records::report_their_offsets_after_flush,
    refusals::come_after_sending,
    refusals::at_once_are_those_of_the_client,
    refusals::end_a_transaction,
    refusals::are_made_of_times_too_far_ahead,
    refusals::are_made_of_keyless_records_in_compacted_topics,
    topics::are_created_once,
    topics::with_impossible_names_are_refused,
    topics::are_deleted_with_all_they_hold,
    topics::are_listed,
    topics::may_grow,
    topics::know_their_ends,
    topics::find_offsets_by_time,
    topics::lose_what_is_deleted,
    topics::refuse_to_delete_what_is_not_there,
    transactions::leave_gaps_in_offsets,
    transactions::hold_back_the_last_stable_offset,
    transactions::show_nothing_when_aborted,
    transactions::are_atomic_over_partitions,
    transactions::may_be_empty,
    transactions::fence_the_former_producer,
    transactions::of_a_former_producer_are_aborted,
    transactions::end_by_time,
    transactions::are_answered_before_all_partitions_know,
    positions::come_back_with_their_text,
    positions::in_a_transaction_are_pending_until_its_end,
    positions::of_an_aborted_transaction_do_not_count,
    positions::of_a_zombie_are_refused,
    positions::of_a_member_that_left_are_refused,
    groups::give_a_lone_member_everything,
    groups::share_partitions_and_give_them_back,
    groups::are_deleted_and_placed_only_when_empty,
    groups::let_members_commit_while_revoked,
    groups::keep_partitions_from_a_member_that_refuses,
    groups::tell_a_member_whose_session_is_over,
    queues::begin_where_they_are_told,
    queues::show_only_committed_records,
    queues::have_nothing_left_behind_a_control_record,
    queues::wake_their_owner,
    queues::seek_and_discard,
    queues::report_a_position_that_is_gone,
    readers::report_the_end_of_each_partition,
    readers::report_the_end_again_after_more,
    readers::end_behind_control_records,
    readers::read_what_they_are_assigned_last,
    readers::report_a_position_that_is_not_there,
    clients::keep_nulls_headers_and_times,
    clients::spread_records_as_kafka_does,
    clients::name_what_a_topic_refuses,
    clients::know_only_topics_that_exist,
    clients::begin_where_their_assignment_says,
    clients::read_what_is_committed,
    clients::go_on_behind_a_bad_record,
}
