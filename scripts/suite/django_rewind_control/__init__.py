"""
An app that does nothing: what fails with it in Django's tests fails with any app.

It has a table, and a label that is sorted to where ours is: some of those tests look at every model in the
state or at the list of all apps.
"""
