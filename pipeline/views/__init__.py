"""Reading, for people: a round, a member, a model; nothing here signs or sends."""
