"""Who calls.

    certificate:NAME    the first DNS name or URI that a caller's certificate is for, else its common name
    token:NAME          a static token of the token file
    jwt:SUBJECT         the subject of a signed web token
    anonymous           callers of a server that asks nobody

Those are the names that policies and logs know. `user` is whose private database a caller means by "mine".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller whose word was checked.

    name   kind and name, unique among callers: what logs and policies say
    user   the user whose private database is the caller's own; "" if there is none
    roles  what else a policy may go by
    """

    name: str
    user: str = ""
    roles: frozenset[str] = frozenset()


ANONYMOUS = Identity("anonymous")
