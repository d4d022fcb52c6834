"""The runtimes, blocking and awaiting: the only package with httpcore, a sleep, a clock or random numbers."""

from retab_orchestration._transport.awaiting import AsyncioRuntime
from retab_orchestration._transport.blocking import BlockingRuntime

__all__ = ["AsyncioRuntime", "BlockingRuntime"]
