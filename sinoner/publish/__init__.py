"""Cards and uploads for the Hugging Face Hub."""
