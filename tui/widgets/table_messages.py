"""What a table says: where its cursor is, what was chosen, whether it follows, and that a key asked for more than it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from tui.widgets.virtual_table import VirtualTable


class TableMessage(Message, namespace="virtual_table"):
    """Base: which table."""

    def __init__(self, table: VirtualTable) -> None:
        super().__init__()
        self.table = table

    @property
    def control(self) -> VirtualTable:
        return self.table


class RowHighlighted(TableMessage, namespace="virtual_table"):
    """The cursor is on another row, or the row under it is another one."""

    def __init__(self, table: VirtualTable, key: str, index: int) -> None:
        super().__init__(table)
        self.key = key
        self.index = index

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RowHighlighted) and message.table is self.table


class RowSelected(RowHighlighted, namespace="virtual_table"):
    """Enter or a double click on a row."""

    def can_replace(self, message: Message) -> bool:
        return False


class FollowChanged(TableMessage, namespace="virtual_table"):
    """The table began or ceased to follow its last row."""

    def __init__(self, table: VirtualTable, following: bool) -> None:
        super().__init__(table)
        self.following = following


class EdgeReached(TableMessage, namespace="virtual_table"):
    """A key brought the cursor to the first or the last row, or found it there."""

    def __init__(self, table: VirtualTable, top: bool) -> None:
        super().__init__(table)
        self.top = top

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, EdgeReached) and message.table is self.table and message.top == self.top
