"""Indexes: one module for each type, with its layout, how it is maintained, and how it is read."""
