"""How index types serve queries: one module for each, and the protocol by which others join in."""
