"""Schemas of containers: what they are, how the next version is judged and priced, and how it becomes active.

Two phases: a version is staged first, and becomes active, which is one transaction, when every server that lives has
read it and could go by it (`rollout`). The metadata of stores stay where Java keeps them; what is here is beside them.
"""
