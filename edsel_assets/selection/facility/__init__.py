"""Facility location: greedy engines, their similarities and their certificates."""
