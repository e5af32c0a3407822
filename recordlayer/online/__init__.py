"""Building indexes while the store is in use."""
