"""What every room shares: data, ports, errors, clocks, threads. Imports nothing of ours."""
