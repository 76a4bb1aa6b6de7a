"""Making a store: resumable by part, shared by several, and nothing is answered twice."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from knowledge_tools import Fake

from suffuse.errors import SuffuseError
from suffuse.files import write_json
from suffuse.knowledge import Knowledge, manifest
from suffuse.knowledge import builder as work
from suffuse.knowledge.chunks import PART, Block, read_part, write_part
from suffuse.knowledge.leases import Leases

ALL = {"extract": {"subsets": "all", "views": 2}}
PLAIN = "picture+question, as prepared"


def asked(teacher: Fake) -> dict[str, list[int]]:
    """Block -> rows that the teacher was asked about, each as often as it was."""
    found: dict[str, list[int]] = {}
    for row, block in sorted(teacher.asked):
        found.setdefault(block, []).append(row)
    return found


def same(folder: Path, columns, teacher: Fake, maker, **changes) -> None:
    """Every block holds what the teacher says."""
    knowledge, ask = Knowledge.open(folder, columns), maker.ask(maker.run(**changes), teacher)
    for number, block in enumerate(knowledge.blocks):
        rows = np.flatnonzero(columns.split == 0 if block.view is not None else columns.split < 2)
        found = knowledge.gather(torch.from_numpy(rows), ("logits", "fused"), number)
        for name, value in found.items():
            np.testing.assert_allclose(value.float().numpy(), ask(rows, block)[name], atol=4e-3)


def test_every_row_is_asked_once_for_each_subset_and_view(maker, columns, teacher):
    folder = maker.store(teacher, **ALL)
    train, both = np.flatnonzero(columns.split == 0).tolist(), np.flatnonzero(columns.split < 2).tolist()
    found = asked(teacher)
    assert len(found) == 9
    for name, rows in found.items():
        assert rows == (both if "as prepared" in name else train), name
    same(folder, columns, teacher, maker, **ALL)


def test_what_was_written_before_a_kill_is_not_asked_again(maker, columns, teacher):
    run = maker.run(**ALL)
    making = maker.begin(run, teacher)
    assert all(0 < len(p.slots) <= teacher.size <= PART for p in making.parts)
    with ThreadPoolExecutor(1) as pool, Leases(run.partial("extract") / ".claims").heartbeat() as claims:
        some = work.work(making, maker.ask(run, teacher), claims, pool)
        done = [next(some) for _ in range(5)]
        some.close()
    whole = {p.name: p.file(making.place).read_bytes() for p in done}
    other = Fake(columns)
    folder = maker.store(other, **ALL)
    for part in done:
        block, rows = making.blocks[part.block].name, set(making.rows[part.slots].tolist())
        assert not rows & set(asked(other).get(block, []))
        assert part.file(making.place).read_bytes() == whole[part.name]
    assert (folder / "logits.npy").exists()
    same(folder, columns, other, maker, **ALL)


def test_killed_and_called_again_the_bytes_are_those_of_one_go(maker, columns, teacher, small_run, tmp_path):
    one = dataclasses.replace(maker, folder=tmp_path / "one").store(Fake(columns), **ALL)
    run = maker.run(**ALL)
    making = maker.begin(run, teacher)
    with ThreadPoolExecutor(1) as pool, Leases(run.partial("extract") / ".claims").heartbeat() as claims:
        some = work.work(making, maker.ask(run, teacher), claims, pool)
        for _ in range(7):
            next(some)
        some.close()
    two = maker.store(Fake(columns), **ALL)
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in two.iterdir()}


def test_several_share_the_parts(maker, columns, tmp_path):
    """Four at once, each with a teacher of its own: every part is answered by one of them."""
    run = maker.run(**ALL)
    teachers = [Fake(columns, size=4) for _ in range(4)]
    makings = [maker.begin(run, t) for t in teachers]

    def one(number: int) -> None:
        with ThreadPoolExecutor(1) as pool, Leases(run.partial("extract") / ".claims").heartbeat() as claims:
            list(work.work(makings[number], maker.ask(run, teachers[number]), claims, pool))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = sorted(a for t in teachers for a in t.asked)
    alone = Fake(columns, size=4)
    other = dataclasses.replace(maker, folder=tmp_path / "alone").store(alone, **ALL)
    assert everything == sorted(alone.asked)
    maker.compact(makings[0], makings[0].parts)
    assert (run.path("knowledge") / "manifest.json").read_bytes() == (other / "manifest.json").read_bytes()


def test_who_comes_when_all_is_done_asks_nothing(maker, columns, teacher):
    """Another process has finished, and taken the parts away."""
    run = maker.run()
    making = maker.begin(run, teacher)
    write_json(run.path("stamps", "extract.json"), {"digest": "d", "outputs": {}})
    with ThreadPoolExecutor(1) as pool, Leases(run.partial("extract") / ".claims").heartbeat() as claims:
        assert list(work.work(making, maker.ask(run, teacher), claims, pool)) == []
    assert not teacher.asked and not list(making.place.glob("block-*"))


def test_another_teacher_is_not_let_in(maker, columns, teacher):
    run = maker.run()
    maker.begin(run, teacher)
    stranger = Fake(columns, weights="second")
    with pytest.raises(SuffuseError, match="another teacher than the one that leads"):
        known = (stranger.fingerprint(), stranger.modalities, stranger.pieces)
        work.build_from_plan(run, columns, known, work.read_plan(run) or {})


def test_parts_of_another_teacher_are_thrown_away(maker, columns, teacher):
    run = maker.run()
    making = maker.begin(run, teacher)
    file = making.parts[0].file(making.place)
    write_part(file, {"slot": np.arange(3)})
    maker.begin(run, Fake(columns, weights="second"))
    assert not file.exists()


def test_parts_that_were_cut_otherwise_are_thrown_away(maker, columns, teacher):
    """An attempt of another version was killed: its parts hold other rows under the same names."""
    run = maker.run()
    making = maker.begin(run, teacher)
    file = making.parts[0].file(making.place)
    write_part(file, {"slot": np.arange(3)})
    maker.begin(run, Fake(columns))
    assert file.exists()
    write_json(making.place / work.PLAN, {**(work.read_plan(run) or {}), "cut": work.CUT - 1})
    maker.begin(run, Fake(columns))
    assert not file.exists()


def test_a_part_is_a_stretch_of_the_store(maker, columns, teacher):
    """So that each is one write, and what is written in order is hashed in order."""
    making = maker.begin(maker.run(**ALL), teacher)
    assert all((np.diff(part.slots) == 1).all() for part in making.parts)
    for block, count in enumerate(making.counts):
        slots = np.concatenate([part.slots for part in making.parts if part.block == block])
        assert (slots == np.arange(count)).all()


def test_a_part_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    """Killed before the rename, there is no part, and what was written before stays."""
    files = [tmp_path / "block-000" / f"part-{n}.safetensors" for n in (0, 1)]
    write_part(files[0], {"logits": np.ones((2, 3), np.float16)})
    before = files[0].read_bytes()

    def refuse(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", refuse)
    for file in files:
        with pytest.raises(KeyboardInterrupt):
            write_part(file, {"logits": np.zeros((2, 3), np.float16)})
    assert files[0].read_bytes() == before
    assert read_part(files[0])["logits"].sum() == 6
    assert [p.name for p in files[0].parent.iterdir()] == [files[0].name]


# rows of an older store


def test_after_rows_were_added_only_they_are_asked(maker, columns, changed):
    """And it doesn't matter where in the table they were added."""
    first = np.setdiff1d(np.arange(60), [0, 7, 30, 31, 59])
    before = changed(columns, first)
    maker.store(Fake(before), before)
    maker.aside()
    teacher = Fake(columns)
    folder = maker.store(teacher)
    assert asked(teacher) == {PLAIN: [0, 7, 30, 31, 59]}
    facts = manifest.read(folder)
    assert (facts["reused"], facts["answered"], facts["rows"]) == (55, 5, 60)
    same(folder, columns, teacher, maker)
    assert sorted(np.load(folder / "label.npy").tolist()) == sorted(columns.target.tolist())


def test_a_row_of_which_key_or_prepared_entry_changed_is_asked_again(maker, columns):
    maker.store(Fake(columns))
    maker.aside()
    pictures = columns.entries["picture"].copy()
    shown = columns.entry[np.flatnonzero(columns.present[:, 0])[0], 0]
    pictures[shown, 0, 0, 0] ^= 1
    other = dataclasses.replace(
        columns,
        entries={**columns.entries, "picture": pictures},
        key=columns.key + (np.arange(60) == 11).astype(np.uint64),
    )
    teacher = Fake(other)
    maker.store(teacher, other)
    touched = np.flatnonzero(columns.present[:, 0] & (columns.entry[:, 0] == shown)).tolist()
    assert asked(teacher) == {PLAIN: sorted({*touched, 11})}


@pytest.mark.parametrize("what", ["weights", "classes", "encoding"])
def test_nothing_of_another_teacher_or_form_is_kept(maker, columns, what):
    maker.store(Fake(columns))
    maker.aside()
    other, changes = columns, {}
    if what == "classes":
        head = dataclasses.replace(columns.spec.heads[0], classes=("c", "b", "a"))
        other = dataclasses.replace(columns, spec=dataclasses.replace(columns.spec, heads=(head,)))
    if what == "encoding":
        changes = {"extract": {"dtype": "float32"}}
    teacher = Fake(other, weights="second" if what == "weights" else "first")
    facts = manifest.read(maker.store(teacher, other, **changes))
    assert facts["reused"] == 0 and len(teacher.asked) == 60


def test_after_views_and_subsets_were_added_only_they_are_asked(maker, columns):
    maker.store(Fake(columns), extract={"views": 1})
    maker.aside()
    teacher = Fake(columns)
    folder = maker.store(teacher, **ALL)
    old = {PLAIN, "picture+question, view 0"}
    assert len(asked(teacher)) == 7 and not old & set(asked(teacher))
    same(folder, columns, teacher, maker, **ALL)


@pytest.mark.parametrize("what", ["seed", "augmentation", "numbers"])
def test_other_views_are_asked_again_and_rows_as_prepared_are_not(maker, columns, what):
    """A view is drawn from the seed and the number of an entry: where either is another one, so is the view."""
    maker.store(Fake(columns), extract={"views": 1})
    maker.aside()
    other, changes = columns, {}
    if what == "seed":
        changes = {"seed": 3}
    elif what == "augmentation":
        picture = {"kind": "image", "column": "image", "size": 16, "augment": {"shift": 0.1}}
        changes = {"modalities": {"picture": picture, "question": {"kind": "text", "column": "text", "length": 6}}}
    else:  # the same pictures, one place further on
        entry = columns.entry.copy()
        entry[columns.present[:, 0], 0] += 1
        pictures = np.concatenate([columns.entries["picture"][:1], columns.entries["picture"]])
        other = dataclasses.replace(columns, entry=entry, entries={**columns.entries, "picture": pictures})
    teacher = Fake(other)
    maker.store(teacher, other, extract={"views": 1}, **changes)
    found = asked(teacher)
    assert PLAIN not in found
    here = (columns.split == 0) & (columns.present[:, 0] if what == "numbers" else True)
    assert found["picture+question, view 0"] == np.flatnonzero(here).tolist()


def test_a_row_that_came_to_training_gets_its_views(maker, columns):
    maker.store(Fake(columns), extract={"views": 1})
    maker.aside()
    moved = int(np.flatnonzero(columns.split == 1)[0])
    other = dataclasses.replace(columns, split=np.where(np.arange(60) == moved, 0, columns.split).astype(np.int8))
    teacher = Fake(other)
    folder = maker.store(teacher, other, extract={"views": 1})
    assert asked(teacher) == {"picture+question, view 0": [moved]}
    same(folder, other, teacher, maker, extract={"views": 1})


def test_a_tap_that_is_asked_for_now_is_in_no_older_store(maker, columns, monkeypatch):
    """Such as a map: everything is asked again, and of other subsets it is not stored twice."""
    maker.store(Fake(columns))
    maker.aside()
    answer = Fake.answer

    def with_map(self, question):
        found = answer(self, question)
        return {**found, "picture.map": found["picture"][:, :2]}

    monkeypatch.setattr(Fake, "answer", with_map)
    facts = manifest.read(maker.store(Fake(columns), extract={"subsets": "each"}))
    assert facts["reused"] == 0 and "picture.map" in facts["taps"]
    assert facts["arrays"]["picture.map"]["shape"] == [60, 2] and facts["arrays"]["fused"]["shape"][0] == 180


def test_an_older_store_that_is_broken_is_left_alone(maker, columns):
    folder = maker.store(Fake(columns))
    (folder / "fused.npy").write_bytes(b"")
    maker.aside()
    teacher = Fake(columns)
    assert manifest.read(maker.store(teacher))["reused"] == 0
    assert len(teacher.asked) == 60


# rows without a label, rows without an answer


def test_rows_without_a_label_are_rows_like_others(maker, columns):
    bare = dataclasses.replace(columns, target=np.where(np.arange(60) % 3 == 0, -1, columns.target))
    folder = maker.store(Fake(bare), bare)
    facts = manifest.read(folder)
    assert facts["rows"] == 60 and facts["unlabelled"] == 20
    knowledge = Knowledge.open(folder, bare)
    knowledge.require(bare.rows("train"), ("logits",))
    assert not knowledge.gather(torch.arange(60), ("logits",))["logits"].isnan().any()
    assert (np.load(folder / "label.npy") == -1).sum() == 20


@pytest.mark.parametrize("top_k", [0, 1])
def test_abstentions_are_stored_as_such_and_counted(maker, columns, top_k):
    silent = np.arange(60) % 7 == 2
    teacher = Fake(columns, silent=silent)
    folder = maker.store(teacher, extract={"top_k": top_k, "subsets": "each"})
    facts = manifest.read(folder)
    assert [b["abstentions"] for b in facts["blocks"]] == [{"answer": int(silent.sum())}] * 3
    assert np.isfinite(facts["encoding"]["mean_kl"])
    found = Knowledge.open(folder, columns).gather(torch.arange(60), ("logits",))["logits"]
    assert (found.isnan().all(1).numpy() == silent).all() and (found.isnan().any(1).numpy() == silent).all()


def test_a_block_says_how_its_rows_were_seen(maker, teacher):
    facts = manifest.read(maker.store(teacher, **ALL))
    assert manifest.blocks(facts)[1] == Block(("picture", "question"), 0)
    assert {b["rows"] for b in facts["blocks"]} == {60, 45}
