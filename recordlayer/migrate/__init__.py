"""Schema migrations: what is different, what it costs, and the steps that stores take, with a history."""
