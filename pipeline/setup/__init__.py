"""Set-up of an installation on one machine, and the services that run it."""
