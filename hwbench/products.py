"""bfloat16 matrix products for CPUs without them, computed in float32 from rounded factors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

_PRODUCTS = {
    torch.addmm,
    torch.mm,
    torch.matmul,
    Tensor.addmm,
    Tensor.mm,
    Tensor.matmul,
    Tensor.__matmul__,
    F.linear,
}


def native(device: torch.device) -> bool:
    """Return whether bfloat16 products are fast on a device.

    If not, torch takes 100 times as long as for float32. On a CPU they are fast if oneDNN supports
    them (on x86 from AVX-512 on).
    """
    if device.type != "cpu":
        return True
    return torch._C._has_mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def fast(
    device: torch.device, low: bool
) -> contextlib.AbstractContextManager[RoundedProducts | None]:
    """Return a context in which bfloat16 products take about as long as float32 products.

    If `low` is not set or the device is fast anyway, it does nothing, because a mode slightly
    delays each call of torch.
    """
    return RoundedProducts() if low and not native(device) else contextlib.nullcontext()


def low_precision(device: torch.device, low: bool) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which products round float32 factors to bfloat16, if `low` is set.

    It is torch's autocast. Where the device has no such products, `fast` must be entered outside.
    """
    return torch.autocast(device.type, torch.bfloat16) if low else contextlib.nullcontext()


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which float32 factors are not rounded, even inside another context."""
    if not torch.is_autocast_enabled(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


class RoundedProducts(TorchFunctionMode):
    """Convert bfloat16 factors to float32, multiply and add them, and round the result.

    Under autocast, float32 factors are rounded first.

    Hardware does the same: it multiplies rounded factors, adds in float32 and rounds once. The
    float32 copy of a factor is kept until the factor changes or is deleted, since mean field and
    chains multiply by the same weights many times.
    """

    def __init__(self) -> None:
        super().__init__()
        # The keys are tensors that own their memory, not views of them.
        self._kept: MutableMapping[Tensor, tuple[int, Tensor]] = WeakTensorKeyDictionary()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a torch function, and compute products via float32."""
        kwargs = kwargs or {}
        if func not in _PRODUCTS or "out" in kwargs:
            return func(*args, **kwargs)
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        device = given[0].device.type
        if torch.is_autocast_enabled(device):
            if any(value.dtype not in (torch.float32, torch.bfloat16) for value in given):
                return func(*args, **kwargs)
            args = tuple(_rounded(value) for value in args)
            kwargs = {k: _rounded(value) for k, value in kwargs.items()}
            with torch.autocast(device, enabled=False):
                return func(*args, **kwargs).bfloat16()
        if any(value.dtype != torch.bfloat16 for value in given):
            return func(*args, **kwargs)
        wide = func(*map(self._wide, args), **{k: self._wide(v) for k, v in kwargs.items()})
        return wide.bfloat16()

    def _wide(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value.requires_grad:
            return value.float()
        owner = value if value._base is None else value._base
        version, wide = self._kept.get(owner, (-1, owner))
        if version != owner._version:
            wide = owner.float()
            self._kept[owner] = owner._version, wide
        if wide.stride() != owner.stride():
            return value.float()
        return wide.as_strided(value.size(), value.stride(), value.storage_offset())


def _rounded(value: Any) -> Any:
    """Return a tensor as float32 numbers that bfloat16 can hold; its gradient is rounded alike."""
    return value.bfloat16().float() if isinstance(value, Tensor) else value
