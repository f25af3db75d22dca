"""The embedded Apache Kafka: one node on loopback, for a laptop, the demo and the tests.

broker    its settings, its process, its readiness
java      a Java that is new enough: the machine's, or the one in a wheel
jars      Kafka's own jars, by Maven coordinates and SHA-256 (`kafka_jars.txt`)
"""
