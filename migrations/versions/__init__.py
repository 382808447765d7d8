"""Revisions: each runs the `.sql` file of its number. There is no way down: a money ledger is restored, not rolled back."""
