"""The paper's method without training the factors: what does training them contribute?"""

from dataclasses import dataclass

from torch import Tensor, nn

from ccompress.methods.in_training_svd import InTrainingSVD


@dataclass(kw_only=True)
class InTrainingSVDFrozen(InTrainingSVD):
    """`in_training_svd` whose factors stay as the decomposition made them.

    After the step only the layers above the embedding train. The difference from `in_training_svd`
    is what training the two factors contributes. Source: ours, an ablation of the paper's method.

    Bytes: as `in_training_svd`, 4 k (V + d) of 4 V d.

    When to use it: to explain `in_training_svd`, not to deploy.
    """

    def compress(self, table: Tensor, rate: float, counts: Tensor) -> nn.Module:
        """The two factors of the table as it stands, which do not train."""
        return super().compress(table, rate, counts).requires_grad_(False)
