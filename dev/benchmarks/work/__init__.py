"""What is measured, each in a process of its own: a module with `main(spec)`, started by `dev.benchmarks.child`."""
