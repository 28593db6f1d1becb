"""Events to Kafka: the messages as pure values, the producer, and the relay from the outbox to the producer."""
