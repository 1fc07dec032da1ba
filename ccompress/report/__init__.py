"""Tables and figures that are made from stored rows."""
