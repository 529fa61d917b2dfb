"""A worker that fails before its first word."""

raise ImportError("no module named \x1b[31mtorch\x1b[0m")
