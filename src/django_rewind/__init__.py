"""Keep the source of every applied migration in the database it was applied to."""
