"""What set-up installs and builds, once per version.

`runtime` is what rounds need, a role of sites what such a site needs of it, `development` what tests and checks need
beside it.

Standard library only, so that any Python since 3.11 starts it.
"""
