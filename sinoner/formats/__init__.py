"""Reading and writing NER file formats and benchmarks."""
