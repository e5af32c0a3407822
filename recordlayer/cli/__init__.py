"""The command `recordlayer`: library calls, and printing. A command, or a group of them, is a module."""
