"""What members change between rounds: keys, who takes part, and what a study is."""
