"""The command `recordlayer`: the public API, and printing. A command is a module with `add` and `run`."""
