"""What tests and benchmarks share: made-up worlds, outages, faults and their audit."""
