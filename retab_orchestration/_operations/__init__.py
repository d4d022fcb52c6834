"""Every operation once, for both colours: it awaits the runtime and nothing else."""
