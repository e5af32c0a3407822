"""What a replica of a zone is made of, apart from waiting: what it keeps, and how its edits are brought up to date."""
