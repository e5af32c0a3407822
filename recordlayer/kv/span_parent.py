"""A span of ours as FoundationDB's client takes it, so that the cluster's own spans go on from it.

Layout  33 bytes, integers little-endian: protocol version of FoundationDB (8), the two halves of the trace's id (16),
        the span's id (8), 1 if the trace is kept (1). The ids are big-endian numbers in W3C's form
Source  FoundationDB 7.3, SpanContext in Tracing.h and option span_parent. The protocol version is 7.2's, the first with
        this form: clients take any that is not newer than their own
"""

from __future__ import annotations

import struct

from recordlayer.observe.observer import SpanIdentity

_LAYOUT = struct.Struct("<QQQQB")
_PROTOCOL = 0x0FDB00B072000000


def span_parent(span: SpanIdentity) -> bytes:
    """The value of option SPAN_PARENT."""
    first, second = struct.unpack(">QQ", span.trace)
    (own,) = struct.unpack(">Q", span.span)
    return _LAYOUT.pack(_PROTOCOL, first, second, own, span.sampled)
