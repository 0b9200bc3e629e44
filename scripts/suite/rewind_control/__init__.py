"""An app that does nothing: what fails with it in Django's tests fails with any app."""
