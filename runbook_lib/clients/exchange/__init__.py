"""Exchange Online, what Graph cannot tell: scripts for an Exchange administrator, and the answer they bring back."""

from runbook_lib.clients.exchange.answer import read, read_answer, sections
from runbook_lib.clients.exchange.scripts import limit_script, save, script, undo_script

__all__ = ["limit_script", "read", "read_answer", "save", "script", "sections", "undo_script"]
