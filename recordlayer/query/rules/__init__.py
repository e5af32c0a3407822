"""Planner rules: each proposes plans of one kind."""
