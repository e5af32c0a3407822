"""How the server keeps up, and what it shows of itself: admission of calls, metrics, traces."""
