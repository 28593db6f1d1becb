"""The signed messages between stages: an item, its batch, and an HMAC signature of both.

A signature is valid for one stage, so that a batch cannot skip the checks.
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
    """The signature of a message to a fetch task: of the item, and of its reservation in the provider's quota."""
    return connections().signer.sign(FETCH, message, ticket)


def handed_on(stage: str, message: dict[str, Any], batch: Batch) -> Link:
    """The signed message with an item and its batch, for that stage."""
    told = batch.to_message()
    return [message, told, connections().signer.sign(stage, message, told)]


def item_of(message: dict[str, Any], signature: str, ticket: list[str] | None = None) -> Item:
    """The item of a message to a fetch task, its signature checked.

    :raises ForgedMessageError: the signature is wrong.
    """
    _check(FETCH, message, ticket, signature)
    return Item.from_message(message)


def opened(stage: str, link: Link) -> tuple[Item, Batch]:
    """The item and the batch of a message to this stage, its signature checked.

    :raises ForgedMessageError: the signature is wrong.
    """
    message, told, signature = _parts(link)
    _check(stage, message, told, signature)
    return Item.from_message(message), Batch.from_message(told)


def are_ours(stage: str, args: Any, kwargs: Any) -> bool:
    """Whether the arguments of a stage's task, of any form, carry the right signature."""
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
