"""Events on their way to Kafka: pure messages, the producer, and the relay that drains the outbox."""
