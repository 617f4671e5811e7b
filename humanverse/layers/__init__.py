"""What is on disk: a store of files, commits that make layers real, and the ledger over them."""
