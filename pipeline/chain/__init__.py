"""The ledger's client: reads, writes as calls, and the outbox that sends them."""
