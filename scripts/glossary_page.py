"""Write docs/glossary.md from the words of the reports (w2s_pref/report/glossary.py)."""

from __future__ import annotations

from pathlib import Path

from w2s_pref.report.glossary import TERMS

PAGE = Path(__file__).parent.parent / "docs" / "glossary.md"
HEAD = """# Glossary

<!-- python scripts/glossary_page.py writes this page -->

The words of reports and tables, each with an example.
"""


def page() -> str:
    """The whole page."""
    terms = [f"## {term.name}\n\n{term.meaning}\n\n*Example:* {term.example}\n" for term in TERMS]
    return "\n".join([HEAD, *terms])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
