"""What each actor does in a round: hospitals, nodes and the service provider, on top of the stages."""
