"""What a verb does that is no stage of a run."""
