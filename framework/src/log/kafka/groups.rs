//! How many members a group has: the one question about groups that the safe wrapper of the client
//! asks in the old way only, which does not know groups of KIP-848.
#![expect(unsafe_code, reason = "librdkafka's description of groups has no safe wrapper")]

use std::ffi::CString;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::events::Consumer;

/// Asks the group's coordinator, and waits up to `wait`.
pub(super) fn members(client: &Consumer, group: &str, wait: Duration) -> Result<usize, Code> {
    let name = CString::new(group).map_err(|_| Code::InvalidArgument)?;
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    let client = client.client().native_ptr();
    // SAFETY: the client lives during the call; queue and options are made and destroyed here, and
    // so is the event, to which everything that `answer` looks at belongs. The names are copied by
    // the call. An answer that comes too late finds its queue gone, which librdkafka provides for.
    unsafe {
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let options = native::rd_kafka_AdminOptions_new(client, operation);
        native::rd_kafka_AdminOptions_set_request_timeout(options, wait, ptr::null_mut(), 0);
        let queue = native::rd_kafka_queue_new(client);
        let mut names = [name.as_ptr()];
        native::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), 1, options, queue);
        let event = native::rd_kafka_queue_poll(queue, wait);
        let answered = if event.is_null() { Err(Code::OperationTimedOut) } else { answer(event) };
        if !event.is_null() {
            native::rd_kafka_event_destroy(event);
        }
        native::rd_kafka_queue_destroy(queue);
        native::rd_kafka_AdminOptions_destroy(options);
        answered
    }
}

/// # Safety
/// `event` is a valid event.
unsafe fn answer(event: *mut native::rd_kafka_event_t) -> Result<usize, Code> {
    // SAFETY: the event is valid; result, descriptions and errors belong to it.
    unsafe {
        let whole = Code::from(native::rd_kafka_event_error(event));
        if whole != Code::NoError {
            return Err(whole);
        }
        let result = native::rd_kafka_event_DescribeConsumerGroups_result(event);
        if result.is_null() {
            return Err(Code::Fail);
        }
        let mut count = 0;
        let groups = native::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if count == 0 {
            return Ok(0);
        }
        let group = *groups;
        let error = native::rd_kafka_ConsumerGroupDescription_error(group);
        if !error.is_null() {
            let code = Code::from(native::rd_kafka_error_code(error));
            match code {
                Code::NoError => {}
                Code::GroupIdNotFound => return Ok(0),
                code => return Err(code),
            }
        }
        Ok(native::rd_kafka_ConsumerGroupDescription_member_count(group))
    }
}
