"""What the ledger says, as frozen types: its events, and the states that follow from them."""
