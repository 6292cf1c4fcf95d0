"""How a command of `govhub` does its work: settings from the environment, and an error said without a
traceback. The words and the exit codes are the commands'."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from hub.config import Settings, SettingsError
from hub.errors import HubError

T = TypeVar("T")


def run(work: Callable[[Settings], Coroutine[Any, Any, T]]) -> T:
    """What the work gives. Raises click.ClickException."""
    try:
        return asyncio.run(work(Settings.from_env(os.environ)))
    except (HubError, SettingsError) as error:
        raise click.ClickException(str(error)) from error
