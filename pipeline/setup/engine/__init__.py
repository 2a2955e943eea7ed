"""An engine on this machine: installed, tried outside a round, measured, and its programs compiled."""
