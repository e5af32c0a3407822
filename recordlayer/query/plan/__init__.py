"""Plan nodes: each says what it does, what it is expected to cost, and makes the cursor that does it."""
