"""`runbook open`: a tenant in JupyterLab."""

from __future__ import annotations

from typing import Annotated

import typer

from runbook_lib.cli.terminal import console


def open_(
    tenant: Annotated[str, typer.Argument(help="Tenant key: the name of a file in parameters/.")],
    browser: Annotated[bool, typer.Option(help="Open a browser, or only say the address.")] = True,
    port: Annotated[int, typer.Option(help="Loopback port of JupyterLab, or the next free one.")] = 8888,
    take_over: Annotated[bool, typer.Option(help="Go on where somebody else has the run open.")] = False,
) -> None:
    """Work on a tenant in JupyterLab: its open run, or a new one, from the next step on."""
    from runbook_lib.notebook import lab

    def tell(words: str) -> None:
        console(stderr=True).print(words, markup=False, soft_wrap=True)

    lab.work(tenant, browser=browser, port=port, take_over=take_over, tell=tell)
