"""Measurements of ours and our peers, doing the same job in the same run: `python -m bench`, and README.md."""

from __future__ import annotations
