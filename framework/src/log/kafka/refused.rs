//! What the client tells of a record that the broker refuses for good.
#![expect(unsafe_code, reason = "the client calls with a message of its own")]

use std::ffi::CStr;
use std::ptr;

use rdkafka::bindings as native;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::error::refusal_kind;
use crate::log::refused::Refused;
use crate::record::TopicPartition;

const NONE: native::rd_kafka_resp_err_t = native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

/// What is known of a message to `partition` that failed, if it is refused for good.
///
/// # Safety
/// The message is a valid one of the client, and is not shared during the call.
#[cold]
pub(super) unsafe fn refused(
    partition: &TopicPartition,
    message: &mut native::rd_kafka_message_t,
) -> Option<Refused> {
    let code = Code::from(message.err);
    let kind = refusal_kind(code)?;
    // The client tells no timestamp of a message with an error.
    let error = std::mem::replace(&mut message.err, NONE);
    // SAFETY: the message is valid; the kind of its timestamp may be left out.
    let (at, headers) = unsafe {
        (native::rd_kafka_message_timestamp(message, ptr::null_mut()), headers_bytes(message))
    };
    message.err = error;
    Some(Refused {
        partition: partition.clone(),
        kind,
        bytes_max: message.key_len + message.len + headers,
        earliest: at,
        latest: at,
        keyless: message.key.is_null(),
        reason: code.to_string(),
    })
}

/// # Safety
/// The message is valid.
unsafe fn headers_bytes(message: &native::rd_kafka_message_t) -> usize {
    let mut list = ptr::null_mut();
    // SAFETY: the message is valid.
    if unsafe { native::rd_kafka_message_headers(message, &raw mut list) } != NONE {
        return 0;
    }
    let mut bytes = 0;
    for index in 0.. {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers belong to the message; a name is a C string.
        unsafe {
            let (name_out, value_out) = (&raw mut name, &raw mut value);
            if native::rd_kafka_header_get_all(list, index, name_out, value_out, &raw mut size)
                != NONE
            {
                break;
            }
            bytes += CStr::from_ptr(name).to_bytes().len() + size;
        }
    }
    bytes
}
