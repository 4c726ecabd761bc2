"""Images with tags: the reader of the archive on one of 60 points, SUN 09, and pairs of causes."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from hwbench.datasets import files, flickr
from hwbench.protocols import PartlyLabelledPairs
from hwbench.ranking import average_precision

N, MORE = 60, 20


def written(**arrays):
    """Return the content of an .npy file, or of an .npz file of several arrays."""
    buffer = io.BytesIO()
    if set(arrays) == {"array"}:
        np.save(buffer, arrays["array"])
    else:
        np.savez(buffer, **arrays)
    return buffer.getvalue()


def content():
    """The files of a small archive, by name."""
    draws = np.random.default_rng(0)
    out = {}
    for which, n in (("labelled", N), ("unlabelled", MORE)):
        images = draws.normal(3, 2, (n, 3857)).astype(np.float32)
        for i, part in enumerate(np.split(images, [n // 3])):
            out[f"image/{which}/part-{i}.npy"] = written(array=part)
        rows = csr_matrix((draws.random((n, 2000)) < 0.003) * draws.integers(1, 4, (n, 2000)))
        out[f"text/text_all_2000_{which}.npz"] = written(
            data=rows.data, indices=rows.indices, indptr=rows.indptr, shape=np.array(rows.shape)
        )
    out["labels/labels.npy"] = written(array=(draws.random((N, 38)) < 0.3).astype(np.int64))
    for r in (1, 2):
        order = draws.permutation(N)
        for part, index in zip(("train", "valid", "test"), np.split(order, [24, 36]), strict=True):
            out[f"splits/{part}_indices_{r}.npy"] = written(array=index)
    return out


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """archive(changes): write the archive where data files are looked for."""
    monkeypatch.setenv("HWBENCH_DATA", str(tmp_path))

    def write(**changes):
        members = {n: c for n, c in (content() | changes).items() if c is not None}
        (tmp_path / "flickr").mkdir(exist_ok=True)
        with tarfile.open(tmp_path / "flickr" / "flickr_data.tar.gz", "w:gz") as out:
            for name, raw in members.items():
                info = tarfile.TarInfo(f"flickr_data/{name}")
                info.size = len(raw)
                out.addfile(info, io.BytesIO(raw))
        raw = (tmp_path / "flickr" / "flickr_data.tar.gz").read_bytes()
        line = f"{hashlib.sha256(raw).hexdigest()}  flickr_data.tar.gz\n"
        (tmp_path / "flickr" / files.SUMS).write_text(line)
        return members

    return write


def read(raw):
    return np.load(io.BytesIO(raw))


def test_the_archive_is_read_as_it_is(archive):
    members = archive()
    splits = flickr.MIRFlickr().load(1)
    images = np.concatenate([read(members[f"image/labelled/part-{i}.npy"]) for i in (0, 1)])
    more = np.concatenate([read(members[f"image/unlabelled/part-{i}.npy"]) for i in (0, 1)])
    index = {p: read(members[f"splits/{p}_indices_2.npy"]) for p in ("train", "valid", "test")}
    every = np.concatenate([images[index["train"]], more]).astype(np.float64)
    scaled = (images - every.mean(0)) / every.std(0)
    train, validation, test = splits
    assert isinstance(train, PartlyLabelledPairs)
    assert len(train) == 24 + MORE
    for part, split in {"train": train.labelled, "valid": validation, "test": test}.items():
        np.testing.assert_allclose(split.values, scaled[index[part]], atol=1e-4)
        labels = read(members["labels/labels.npy"])[index[part]]
        assert np.array_equal(split.targets, labels == 1)
    rows = read(members["text/text_all_2000_labelled.npz"])
    dense = csr_matrix((rows["data"], rows["indices"], rows["indptr"]), rows["shape"]).toarray()
    assert np.array_equal(test.text.rows(torch.arange(len(test))), dense[index["test"]])
    assert train.visible == 3857 + 2000 == flickr.MIRFlickr().shape[0]
    assert train.batch(torch.tensor([[0, 30]])).shape == (1, 2, 5857)
    few = flickr.MIRFlickr(sift=False, unlabelled=False)
    assert few.load(0).train.visible == few.shape[0] == 3857


def test_without_splits_it_is_cut_by_seed(archive):
    names = [f"splits/{p}_indices_{r}.npy" for p in ("train", "valid", "test") for r in (1, 2)]
    archive(**dict.fromkeys(names))
    few = flickr.MIRFlickr(sift=False, unlabelled=False)
    a, b = few.load(0), few.load(1)
    assert [len(part) for part in a] == [24, 12, 24]
    assert not torch.equal(a.test.values, b.test.values)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("labels/labels.npy", np.full((N, 38), 2), "labels must be 0 or 1; found 2"),
        ("labels/labels.npy", np.ones((N, 37)), r"labels \(60, 37\) for 60 images"),
        ("image/labelled/part-0.npy", np.zeros((N, 3857)), "100 labelled images and 60 texts"),
        ("splits/train_indices_1.npy", np.arange(30), "splits overlap: 30 train, 12 valid"),
        ("splits/train_indices_1.npy", np.arange(0), "do not cover the points: 0 train"),
    ],
)
def test_what_does_not_fit_is_named(archive, name, array, message):
    archive(**{name: written(array=array)})
    with pytest.raises(files.DataCorrupt, match=message):
        flickr.MIRFlickr(unlabelled=False).load(0)


def test_counts_and_features_are_checked(archive):
    rows = read(content()["text/text_all_2000_labelled.npz"])
    parts = {key: rows[key] for key in ("data", "indices", "indptr", "shape")}
    for wrong in (-1, 0.5):
        own = parts | {"data": np.where(np.arange(len(rows["data"])) == 3, wrong, rows["data"])}
        archive(**{"text/text_all_2000_labelled.npz": written(**own)})
        with pytest.raises(files.DataCorrupt, match="whole numbers from 0"):
            flickr.MIRFlickr(unlabelled=False).load(0)
    flat = [
        np.concatenate([np.ones((n, 1)), np.random.default_rng(n).random((n, 3856))], 1)
        for n in (20, 40)
    ]
    archive(**{f"image/labelled/part-{i}.npy": written(array=a) for i, a in enumerate(flat)})
    with pytest.raises(files.DataCorrupt, match="input 0 of the images has the variance zero"):
        flickr.MIRFlickr(unlabelled=False).load(0)
    archive()
    with pytest.raises(files.DataCorrupt, match="no split for seed 2: there are 2 of train"):
        flickr.MIRFlickr(unlabelled=False).load(2)


def test_the_best_ranking_of_pairs_is_known():
    """The posterior by enumeration; it is calibrated, and its MAP is what the table says."""
    pairs = flickr.PairedTopics()
    images, text, causes = pairs.raw()
    found = pairs.posterior(images, text)
    for column, on in zip(found.T, causes.T, strict=True):
        spread = (column * (1 - column)).sum().sqrt()
        assert (column - on).sum().abs() < 4 * spread
    held_out = slice(500, None)
    scores, labels = found[held_out].numpy(), causes[held_out].bool().numpy()
    best = np.mean([average_precision(scores[:, i], labels[:, i]) for i in range(6)])
    assert best == pytest.approx(0.818, abs=5e-4)


@pytest.mark.data
def test_sun09(needs):
    dataset = flickr.SUN09()
    needs(*dataset.files)
    splits = dataset.load(0)
    assert [len(part) for part in splits] == [3500, 867, 4317]
    prior = torch.cat([part.targets for part in splits[:2]]).float().mean()
    assert prior.item() == pytest.approx(0.1167, abs=1e-4)
    lengths = torch.cat([part.text.lengths() for part in splits[:2]])
    assert lengths.mean().item() == pytest.approx(1.06, abs=5e-3)
    assert (lengths == 0).float().mean().item() == pytest.approx(0.43, abs=5e-3)
    assert splits.train.label_names[:3] == ("sky", "wall", "floor")
