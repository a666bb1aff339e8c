"""Reading corpora and cutting documents into passages."""
