"""Whom the picks must serve: demand weights, and strategies that aim by them or by queries.

Not here: weighted facility location (``facility``), which any demand can be handed to.
"""
