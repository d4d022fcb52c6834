"""What waiting, sending documents and importing cost, next to what other packages cost: `make bench`."""
