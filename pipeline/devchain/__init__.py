"""The embedded development chain: one anvil behind a filter that loses nothing."""
