"""Signing: digests, caller authentication, SM2/SM3/SM4, keys, seals and evidence.
Nothing here knows a case, a topic or Kafka, and nothing here imports another package of this project.
"""
