"""Secrets of URLs and tokens stand in no sentence, however long what holds them is."""

from __future__ import annotations

import pytest

from w2s_pref.core.errors import W2SError, masked, shown

SECRET = "PASSWORD" * 40


@pytest.mark.parametrize(
    "text",
    [
        f"s3://user:{SECRET}@host/folder",
        f"https://host/file?x=1&token={SECRET}",
        f"https://{SECRET}@host/repository.git",
        f"training.hub_token=hf_{SECRET}",
        "Authorization: Bearer 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",
        "https://ghp_PASSWORDPASSWORDPASSWORDPASSWORDabcd@github.com/a/b",
    ],
)
def test_no_part_of_a_secret_is_shown(text: str) -> None:
    for said in (masked(text), shown(text), str(W2SError(f"override {shown(text)}: wrong"))):
        assert "PASSWORD" not in said
        assert "***" in said


def test_what_is_no_secret_stays() -> None:
    for text in ("sftp://me@host/folder", "ssh://git@host", "s3://bucket/half_tokens", "models.hf_small.path=x", "a@b"):
        assert masked(text) == text
