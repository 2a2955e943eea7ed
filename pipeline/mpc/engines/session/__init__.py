"""What parties do before and while they compute, whatever the engine: meet, agree, watch one another."""
