//! The conformance suite: what Kafka Streams itself gave for random inputs, topology by topology.
