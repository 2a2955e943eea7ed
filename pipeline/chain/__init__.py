"""The ledger: contract wrapper, outbox, embedded development chain."""
