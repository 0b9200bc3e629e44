"""
What a migration needs around it: the modules and files that it imports or reads.

`needs` says what that is, `imports` and `modules` find it, `excerpt` cuts it to what is
used, `gather` takes it along when a migration is stored. `drift` tells how this checkout
differs from it, and `isolation` executes a stored migration amid what it had then.
"""
