"""The learning algorithms, in numpy: no Kafka, no Redis, no clock."""
