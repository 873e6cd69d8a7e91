"""Shared by all rooms: data types, ports, errors, clocks, threads. Imports no other room."""
