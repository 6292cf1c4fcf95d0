"""The topic catalogue as data, and the plan that brings a Kafka cluster to it."""
