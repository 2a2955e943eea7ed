"""Set-up of an installation, from nothing or from any interrupted state, at each kind of site."""
