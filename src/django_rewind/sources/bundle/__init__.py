"""
The modules and files that a migration imports or reads: its bundle.

`manifest` says what that is, `imports` and `modules` find it, `excerpt` cuts it to what is
used, `collector` collects it when a migration is stored. `changes` tells how this checkout
differs from it, `importer` executes a stored migration with it, and `stubs` stand for what
cannot be bundled.
"""
