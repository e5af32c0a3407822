"""Queries: what is asked for, how it is planned, what a plan costs, and how it runs."""
