"""A tree of lines, however deep."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Branch:
    """A line and what hangs below it."""

    text: str
    children: list[Branch] = field(default_factory=list)

    def draw(self) -> str:
        """Return the tree drawn with box characters."""
        lines, waiting = [self.text], [("", self, child) for child in reversed(self.children)]
        while waiting:
            indent, parent, branch = waiting.pop()
            last = branch is parent.children[-1]
            lines.append(f"{indent}{'└─ ' if last else '├─ '}{branch.text}")
            below = indent + ("   " if last else "│  ")
            waiting += [(below, branch, child) for child in reversed(branch.children)]
        return "\n".join(lines)
