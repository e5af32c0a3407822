"""The service: gRPC over the public names of recordlayer and its asyncio facade."""
