//! The broker suite: the library on a real Apache Kafka, one module per guarantee or fault.
//!
//! It starts the broker itself (`deploy/kafka/kafka`), or uses the one of `MILLSTREAM_BOOTSTRAP` where a test does not
//! have to stop it.

mod local_kafka;
