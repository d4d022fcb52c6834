"""Which run a task owns: `decide` says how it gets one, the other modules do it."""
