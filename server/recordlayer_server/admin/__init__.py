"""The service Admin: what an operator sees of databases and does to them.

Each file has a part of its methods, in a class that the servicer is made of: `stores`, `indexes`,
`operations`, `tenants`, `connections`. What operations do, `running` does on each server, beside its calls.
"""
