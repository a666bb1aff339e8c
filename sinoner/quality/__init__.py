"""Rules that clean annotations."""
