"""Names as short integers: who keeps them, and how numbers are given out."""
