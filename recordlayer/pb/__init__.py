"""Protobuf messages of the formats that are shared with the Java Record Layer.

The modules `*_pb2` here give message classes from a descriptor pool of our own (`pool.py`), so that Java's file names
never enter protobuf's default pool through us: a program may hold its own copies of them, older or newer.
"""
