"""What one stage hands to the next: an item's message, its batch, and a signature that says that a stage of ours did.

A signature is for one stage, so that a batch cannot be moved past the checks.
"""

from __future__ import annotations

from typing import Any, Final

from fintrack_tasks.domain import Batch, Item
from fintrack_tasks.errors import ForgedMessageError
from fintrack_tasks.tasks.base import connections

__all__ = ["FETCH", "Link", "are_ours", "handed_on", "item_of", "opened", "signature_of"]

Link = list[Any]
"""``[item's message, batch's message, signature]``"""

FETCH: Final = "fintrack.fetch"
"""The stage of every fetch task: an item may be asked for at each provider of its route."""


def signature_of(message: dict[str, Any], ticket: list[str] | None = None) -> str:
    """The signature with which an item's message, and its reservation in a provider's quota, go to a fetch task."""
    return connections().signer.sign(FETCH, message, ticket)


def handed_on(stage: str, message: dict[str, Any], batch: Batch) -> Link:
    """An item and its batch, for that stage."""
    told = batch.to_message()
    return [message, told, connections().signer.sign(stage, message, told)]


def item_of(message: dict[str, Any], signature: str, ticket: list[str] | None = None) -> Item:
    """The item that a fetch task is to work on.

    :raises ForgedMessageError: nobody of ours sent it.
    """
    _check(FETCH, message, ticket, signature)
    return Item.from_message(message)


def opened(stage: str, link: Link) -> tuple[Item, Batch]:
    """The item and the batch that this stage is to work on.

    :raises ForgedMessageError: no stage of ours handed them to this one.
    """
    message, told, signature = _parts(link)
    _check(stage, message, told, signature)
    return Item.from_message(message), Batch.from_message(told)


def are_ours(stage: str, args: Any, kwargs: Any) -> bool:
    """Whether the arguments of a stage's task, whatever they are, were sent by one of ours, and just so."""
    args, kwargs = tuple(args or ()), dict(kwargs or {})
    if stage.startswith(f"{FETCH}."):
        message, signature = args if len(args) == 2 else (None, None)
        ticket = kwargs.pop("ticket", None)
        return not kwargs and connections().signer.verify(signature, FETCH, message, ticket)
    message, told, signature = _parts(args[0] if len(args) == 1 else None)
    return not kwargs and connections().signer.verify(signature, stage, message, told)


def _check(stage: str, message: object, batch: object, signature: object) -> None:
    if not connections().signer.verify(signature, stage, message, batch):
        raise ForgedMessageError("no stage of this version signed it for this one: an older version's, or forged")


def _parts(link: Any) -> tuple[Any, Any, Any]:
    message, told, signature = link if isinstance(link, list | tuple) and len(link) == 3 else (None, None, None)
    return message, told, signature
