"""Characters, sentences, languages and offsets."""
