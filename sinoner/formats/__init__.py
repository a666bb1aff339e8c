"""Other people's files: NER formats and benchmarks, in and out."""
