"""What keeps an eye on a site while nobody looks: the watch, and where its notices go."""
