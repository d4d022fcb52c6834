"""Which run a task owns, decided from values alone in `decide`, and made so by the rest."""
