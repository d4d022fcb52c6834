"""A bare server on loopback: Retab's current routes and what each peer polls, cheap enough not to be the bottleneck."""
