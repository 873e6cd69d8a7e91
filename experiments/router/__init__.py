"""Trains and evaluates the learned router."""
