//! The broker suite: the library on a real Apache Kafka, one module per guarantee or fault.
//!
//! It starts the broker itself (`deploy/kafka/kafka`), or uses the one of `MILLSTREAM_BOOTSTRAP` where a test does not
//! have to stop it.

mod process;
mod records;

mod kafka_log;
mod local_kafka;
mod command_line;
mod table;
mod rows;
mod scale_out;
mod unequal_topics;
mod growing;
mod patterns;
mod waiting;
mod restart;
mod global_table;
mod event_times;
mod exactly_once;
mod slow_follower;
mod mixed;
mod futures;
mod outlet;
mod outage;
mod state_lock;
mod secured;
mod slow_sink;
mod late_answer;
mod refusals;
mod stopping;
mod one_log;
mod invoice_totals;
mod login_lake;
