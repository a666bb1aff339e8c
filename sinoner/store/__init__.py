"""What a run folder keeps between searches: vectors and tokens."""
