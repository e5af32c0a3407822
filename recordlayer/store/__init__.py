"""Record stores: where records, their versions and their indexes lie, and what keeps them in step."""
