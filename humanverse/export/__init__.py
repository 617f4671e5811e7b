"""Export: what a root holds, in the layout that another tool writes."""
