"""For the tests of programs that use the client: `fake` has a server for them."""
