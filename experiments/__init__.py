"""Questions, commands and tables: training, benchmarks, sweeps. Nothing the engine imports."""
