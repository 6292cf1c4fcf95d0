"""Benchmarks: what the hub does as shipped, beside a yardstick measured in the same run. Results are kept in
bench/results."""
