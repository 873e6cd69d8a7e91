"""Trains and judges the learned router."""
