"""Parts of Wardround's MP-SPDZ programs; imported by the MP-SPDZ compiler only."""
