"""Export: what a root holds, in the layouts of other tools."""
