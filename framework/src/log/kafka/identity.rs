//! Who a member is in its group.
#![expect(unsafe_code, reason = "the safe wrapper hides generation and member id")]

use std::ptr::NonNull;

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};

/// Who a member is in its group at one moment.
pub(super) struct Identity(NonNull<native::rd_kafka_consumer_group_metadata_t>);

// SAFETY: plain memory of our own, only read after it was made.
unsafe impl Send for Identity {}

impl Identity {
    /// Asks the client; `None` if it has no group.
    pub(super) fn of(consumer: &BaseConsumer<impl ConsumerContext>) -> Option<Self> {
        let client = consumer.client().native_ptr();
        // SAFETY: the client lives during the call; the result is ours to destroy.
        NonNull::new(unsafe { native::rd_kafka_consumer_group_metadata(client) }).map(Self)
    }

    /// False for one who has not joined, or has left. With such an identity the broker would take
    /// offsets unchecked.
    pub(super) fn is_member(&self) -> bool {
        let identity = self.0.as_ptr();
        // SAFETY: valid until we are dropped, and so is the C string in it.
        unsafe {
            let member = native::rd_kafka_consumer_group_metadata_member_id(identity);
            let named = !member.is_null() && *member != 0;
            named && native::rd_kafka_consumer_group_metadata_generation_id(identity) > 0
        }
    }

    /// For the call that sends it; valid as long as `self`.
    pub(super) fn as_ptr(&self) -> *const native::rd_kafka_consumer_group_metadata_t {
        self.0.as_ptr()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        // SAFETY: ours, and destroyed once.
        unsafe { native::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}
