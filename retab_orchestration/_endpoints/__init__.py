"""One pure function per endpoint and route family, each returning a `Call`; never a loop, never a default."""
