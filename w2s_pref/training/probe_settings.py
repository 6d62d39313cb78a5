"""How a linear probe is trained. No torch here: recipes are checked with this."""

from __future__ import annotations

from pydantic import Field

from w2s_pref.core.strict import Section


class ProbeSettings(Section):
    """Adam on a linear head, as in Burns et al. 2023 (arXiv 2312.09390, appendix on linear probing)."""

    epochs: int = Field(200, ge=1, description="most passes over the items")
    batch_size: int = Field(128, ge=1, description="items of one step")
    learning_rate: float = Field(1.0e-3, gt=0.0, description="of each of the two outputs")
    patience: int | None = Field(
        20, ge=1, description="epochs without a better agreement with the weak validation labels; null: all epochs"
    )
    standardise: bool = Field(True, description="features to mean 0 and standard deviation 1 over the training items")
