"""Training, benchmarks and sweeps. The engine imports nothing from here."""
