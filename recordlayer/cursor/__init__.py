"""Cursors: values that come in batches, stop for a reason, and can be resumed behind every one of them."""
