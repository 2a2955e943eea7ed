"""Machines of their own for members, each in namespaces of its own: network, files, processes, name and user."""
