"""The services of a site: how each is started, by which process manager, and whether it answers."""
