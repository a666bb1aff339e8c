"""Reading corpora and benchmarks, and cutting documents into passages."""
