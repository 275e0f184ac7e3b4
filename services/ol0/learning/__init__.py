"""What is learnt, and how, in numpy: no Kafka, no Redis, no clock."""
