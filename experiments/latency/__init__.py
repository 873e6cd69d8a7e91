"""Latency of alerts, answers and single stages."""
