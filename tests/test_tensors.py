"""Arrays as bytes: what the library of safetensors reads, and equal where arrays are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors import numpy as theirs

from humanverse.errors import DataError
from humanverse.tensors import dumped, loaded

KINDS = st.sampled_from([np.float16, np.float32, np.bool_, np.uint16])
ARRAYS = KINDS.flatmap(lambda kind: arrays_of.arrays(kind, arrays_of.array_shapes(min_side=0)))
NAMED = st.dictionaries(st.text("abc_", min_size=1), ARRAYS, min_size=1, max_size=4)


def same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        np.testing.assert_array_equal(array, other[name])


@given(NAMED, st.dictionaries(st.text("xyz", min_size=1), st.text()))
def test_arrays_and_words_come_back(named, told):
    data = dumped(named, told)
    found, words = loaded(memoryview(data))
    same(found, named)
    assert words == told
    assert dumped(dict(reversed(named.items())), told) == data


@given(NAMED)
def test_the_library_reads_ours_and_we_the_librarys(named):
    same(theirs.load(dumped(named, {"a": "b"})), named)
    same(loaded(theirs.save(named))[0], named)


def test_bf16_is_rounded_as_torch_rounds_it():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from safetensors import torch as tensors

    values = np.random.default_rng(0).normal(size=999).astype(np.float32)
    data = dumped({"x": values}, {}, bf16=True)
    assert torch.equal(tensors.load(data)["x"], torch.from_numpy(values).bfloat16())
    assert np.array_equal(loaded(data)[0]["x"], tensors.load(data)["x"].float().numpy())


@pytest.mark.parametrize("cut", [0, 4, 20, -1])
def test_what_is_cut_short_is_refused(cut):
    data = dumped({"x": np.ones(9, np.float32)}, {})
    with pytest.raises(DataError, match="cannot be read"):
        loaded(data[:cut])
